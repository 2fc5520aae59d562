//! `goldsmith up --tls` as a client of Microsoft's meets it: addresses, sign-in and answers over
//! https, trusting the authority in the state folder alone.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::wire::{is_not_violated, verify_wire};

/// `goldsmith up --tls --json`, which is stopped with this value.
struct Up {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ready: Value,
    client: reqwest::Client,
}

impl Up {
    fn on(state: &Path) -> Up {
        let mut child = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
            .args(["up", "--tls", "--json", "--state"])
            .arg(state)
            .args(verify_wire())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let authority = std::fs::read(ready["authority"].as_str().unwrap()).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        let client = reqwest::Client::builder().user_agent("a test").tls_certs_only([authority]);
        Up { child, lines, ready, client: client.no_proxy().build().unwrap() }
    }

    fn https(&self) -> &str {
        self.ready["https"].as_str().unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.https())).send().await.unwrap();
        json_of(answer).await
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            // The last one may be half a line.
            let told = self.lines.by_ref().map_while(Result::ok);
            told.flat_map(|it| serde_json::from_str(&it)).for_each(|it| is_not_violated(&it));
        }
    }
}

async fn json_of(answer: reqwest::Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_finds_its_way_from_the_metadata_to_a_gallery_of_its_own() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::on(state.path());
    let (https, tenant) = (up.https(), up.ready["tenant"].as_str().unwrap());

    let cloud = up.get("/metadata/endpoints?api-version=2022-09-01").await;
    assert_eq!(cloud["authentication"]["loginEndpoint"], https);
    let login = up.get(&format!("/{tenant}/v2.0/.well-known/openid-configuration")).await;
    let audience = cloud["authentication"]["audiences"][0].as_str().unwrap();
    let form = format!(
        "client_id=me&grant_type=client_credentials&client_secret=desk&scope={audience}/.default"
    );
    let token = up.client.post(login["token_endpoint"].as_str().unwrap()).body(form).send();
    let token = json_of(token.await.unwrap()).await;

    let group = format!(
        "{https}/subscriptions/{}/resourceGroups/rg-golden-images",
        up.ready["subscription"].as_str().unwrap()
    );
    let gallery =
        format!("{group}/providers/Microsoft.Compute/galleries/galMine?api-version=2026-03-03");
    let put = up
        .client
        .put(gallery)
        .bearer_auth(token["access_token"].as_str().unwrap())
        .body(json!({ "location": "westeurope" }).to_string())
        .send()
        .await
        .unwrap();

    assert_eq!(put.status(), 201);
    assert_eq!(put.headers()["retry-after"], "1", "else Microsoft's clients sleep 30 seconds");
    let status = put.headers()["azure-asyncoperation"].to_str().unwrap();
    assert!(status.starts_with(&format!("{https}/subscriptions/")), "a client follows it as it is");
}

#[tokio::test]
async fn a_desk_that_starts_again_is_at_the_same_address_with_another_authority() {
    let state = tempfile::tempdir().unwrap();
    let first = Up::on(state.path());
    let (https, old) = (first.https().to_owned(), first.client.clone());
    drop(first);

    let second = Up::on(state.path());

    assert_eq!(second.https(), https);
    assert!(second.get("/metadata/endpoints?api-version=2022-09-01").await.is_object());
    let url = format!("{https}/metadata/endpoints?api-version=2022-09-01");
    assert!(old.get(url).send().await.is_err());
}
