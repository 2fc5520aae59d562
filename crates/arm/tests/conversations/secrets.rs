//! Status URLs are signed: whoever has one may ask in our name. They are neither followed nor kept
//! nor shown; the resource itself says how far it is.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::bodies::{template_intent, version_intent};
use crate::script::{Script, permit, template, version};

/// A status URL as recorded in `gallery_e2e.json` and `ib_create_list_delete.json`, its certificate
/// and signature filled up to the recorded lengths.
fn signed(path: &str) -> String {
    format!(
        "https://management.azure.com/subscriptions/00000000-0000-0000-0000-000000000000/providers/{path}&t=638717433996163853&c=MIIHhzCCBm-gAwIB{}&s=HUSHsignature{}&h=HUSHhash4dTZ6HnkVIcTOfWy2dN8Hkz4GbHXfmVoQ3r",
        "c".repeat(2559),
        "s".repeat(326)
    )
}

/// What was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn a_signed_status_url_is_neither_followed_nor_logged_nor_shown() {
    let log = Log::default();
    let lines = tracing_subscriber::fmt().with_writer(log.clone());
    let lines = lines.with_max_level(tracing::Level::TRACE).finish();
    // For every thread: a lone subscriber of one thread is passed over by whatever another thread's
    // test logs first.
    tracing::subscriber::set_global_default(lines).unwrap();
    let caps = signed(
        "Microsoft.Compute/locations/westus/capsOperations/36cac6d0-cc77-4ddd-b6bb-3c4a0866a0f8?api-version=2026-03-03",
    );
    let builder = signed(
        "Microsoft.VirtualMachineImages/locations/westus/operations/bb8e88c0-cc77-4ddd-b6bb-3c4a0866a0f8?api-version=2025-10-01",
    );
    assert!((3005..=3468).contains(&caps.len()), "{}", caps.len());
    let put = [("azure-asyncoperation", caps.as_str()), ("azure-asyncnotification", "Enabled")];
    let both = [("azure-asyncoperation", caps.as_str()), ("location", caps.as_str())];
    let run = [("azure-asyncoperation", builder.as_str()), ("location", builder.as_str())];
    let refused = format!(r#"{{"error":{{"code":"Conflict","message":"see {caps} for more"}}}}"#);
    let script = Script::default()
        .with(200, &put, "{}")
        .with(202, &both, "")
        .with(201, &put, "{}")
        .with(202, &run, "")
        .with(409, &both, refused);
    let arm = script.arm();

    let mut said = String::new();
    said += &format!("{:?}", arm.put_version(&permit(), &version(), &version_intent()).await);
    said += &format!("{:?}", arm.delete_version(&permit(), &version()).await);
    said += &format!("{:?}", arm.create_template(&permit(), &template(), &template_intent()).await);
    said += &format!("{:?}", arm.run_template(&permit(), &template()).await);
    let error = arm.delete_version(&permit(), &version()).await.unwrap_err();
    said += &format!("{error} {error:?}");

    assert_eq!(script.asked().len(), 5, "a status URL was followed");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("Azure answered 202"), "nothing was logged: {logged}");
    for text in [said, logged] {
        assert!(!text.contains("HUSH") && !text.contains("MIIHhz"), "{text}");
    }
}
