//! The Functions host of the desk: a request of a person or of Event Grid, then the handler's
//! answers to it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sandbox::bus::Bus;
use sandbox::database::Database;
use sandbox::desk::Holds;
use sandbox::host::{Host, HostOptions, Package};
use seam::Clock;

use super::script::{Leaping, Told, ask, block_on, request};

const HOST: &str =
    r#"{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}"#;
const API: &str = r#"{"bindings":[
    {"type":"httpTrigger","direction":"in","name":"req","route":"{kind}/{name}/{verb?}"},
    {"type":"http","direction":"out","name":"res"}]}"#;
const HEAR: &str = r#"{"bindings":[{"type":"eventGridTrigger","direction":"in","name":"event"}]}"#;

pub(crate) fn host(bytes: &[u8]) {
    static PACKAGE: OnceLock<Package> = OnceLock::new();
    let package = PACKAGE.get_or_init(|| {
        let functions = [("api", API), ("hear", HEAR)];
        let functions = functions.map(|(name, json)| (name.to_owned(), json.to_owned()));
        Package::of(HOST, functions, &BTreeMap::new()).expect("it is a package")
    });
    let end = bytes.windows(4).position(|it| it == b"\n%%\n");
    let (asked, told) = end.map_or((bytes, &[][..]), |it| (&bytes[..it], &bytes[it + 4..]));
    let Some(asked) = request(asked) else { return };

    let database = Arc::new(Database::open(None).expect("memory"));
    // An answer that is none is waited for until the function has had its time.
    let clock: Arc<dyn Clock> = Arc::new(Leaping::default());
    let bus = Bus::open(Arc::clone(&database), Arc::clone(&clock), []).expect("an empty bus");
    let options = HostOptions { handler: "http://h".to_owned(), ..HostOptions::default() };
    let wire = Arc::new(Told::new(told));
    let holds = Holds::none();
    let host = Host::new(package.clone(), bus, database, clock, holds, wire, options);
    block_on(ask(&host.expect("a host").router(), asked));
}
