//! A provider of pets, and its exchanges as sentences.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use contract::{Checked, Contract, Exchange, Report, Violation, Watch};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(crate) const CAT: &str = "/subscriptions/s/providers/Contoso.Pets/pets/tom";
pub(crate) const PETS: &str = "/subscriptions/s/providers/Contoso.Pets/pets";

/// The documents as they would lie in a folder.
pub(crate) fn contract() -> Arc<Contract> {
    static CONTRACT: OnceLock<Arc<Contract>> = OnceLock::new();
    let read = || {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join("specs").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("Contoso.Pets/2025-01-01/pets.json", include_str!("pets.json"));
        let types = include_str!("types.json");
        write("common-types/resource.json", types);
        write("common-types/resource-management/v5/types.json", types);
        Arc::new(Contract::read(folder.path()).unwrap())
    };
    Arc::clone(CONTRACT.get_or_init(read))
}

/// A cat as a client may send it.
pub(crate) fn cat() -> Value {
    json!({ "location": "x", "kind": { "type": "Feline", "lives": 9 }, "tags": { "any": "thing" } })
}

/// One exchange, made by verbs.
#[derive(Clone)]
pub(crate) struct Said(Exchange);

pub(crate) fn asked(method: Method, path: &str) -> Said {
    let sign = if path.contains('?') { '&' } else { '?' };
    Said(Exchange {
        method,
        path: format!("{path}{sign}api-version=2025-01-01"),
        asked: HeaderMap::new(),
        sent: Bytes::new(),
        status: StatusCode::OK,
        told: HeaderMap::new(),
        answered: Bytes::new(),
    })
}

/// A PUT of `body` that is answered with a good cat.
pub(crate) fn put(body: &Value) -> Said {
    asked(Method::PUT, CAT).sending(body).answered(200, &cat())
}

/// A GET of the cat, answered with `body`.
pub(crate) fn got(body: &Value) -> Said {
    asked(Method::GET, CAT).answered(200, body)
}

impl Said {
    /// The very path, with its query.
    pub(crate) fn at(mut self, path: &str) -> Said {
        self.0.path = path.to_owned();
        self
    }

    pub(crate) fn sending(mut self, body: &Value) -> Said {
        self.0.sent = body.to_string().into();
        self.asking("content-type", "application/json")
    }

    pub(crate) fn asking(mut self, name: &'static str, value: &str) -> Said {
        let value = HeaderValue::from_str(value).unwrap();
        self.0.asked.insert(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn answered(self, status: u16, body: &Value) -> Said {
        let json = "application/json; charset=utf-8";
        let mut said = self.with_status(status).telling("content-type", json);
        said.0.answered = body.to_string().into();
        said
    }

    pub(crate) fn with_status(mut self, status: u16) -> Said {
        self.0.status = StatusCode::from_u16(status).unwrap();
        self
    }

    pub(crate) fn telling(mut self, name: &'static str, value: &str) -> Said {
        let value = HeaderValue::from_str(value).unwrap();
        self.0.told.insert(HeaderName::from_static(name), value);
        self
    }
}

/// What a watch says of these exchanges, one after the other.
pub(crate) fn heard(exchanges: &[Said]) -> Vec<Violation> {
    let watch = Watch::new(contract(), Checked::Both, Arc::new(Report::default()));
    exchanges.iter().for_each(|it| watch.heard(&it.0));
    watch.report().violations()
}

/// The same, each in few words: `request /kind/barks is not declared`.
pub(crate) fn said(exchanges: &[Said]) -> Vec<String> {
    let short = |it: Violation| format!("{} {} {}", it.side, it.place, it.what);
    heard(exchanges).into_iter().map(short).collect()
}

/// A watch, for what a report counts.
pub(crate) fn report(exchanges: &[Said]) -> Arc<Report> {
    let report = Arc::new(Report::default());
    let watch = Watch::new(contract(), Checked::Both, Arc::clone(&report));
    exchanges.iter().for_each(|it| watch.heard(&it.0));
    report
}
