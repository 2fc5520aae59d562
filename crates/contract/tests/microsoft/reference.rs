//! What Microsoft wrote and what was recorded, as it lies beside the repository.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use contract::{Contract, Exchange};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// The folder, or none, said aloud.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = contract::reference();
    if folder.is_none() {
        eprintln!("skipped: Microsoft's documents and recordings are not here");
    }
    folder
}

pub(crate) fn contract() -> Option<Contract> {
    Some(Contract::read(&folder()?).unwrap())
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every JSON file below `folder`, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Every recording, in order: those of most of Microsoft's clients, and the one that lies among the
/// documents.
pub(crate) fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut recordings = files(&folder.join("recordings"));
    recordings.extend(files(&folder.join("specs/recordings")));
    recordings
}

/// The conversation of one recording. Answers whose requests were not kept are left out.
pub(crate) fn conversation(path: &Path) -> Vec<Exchange> {
    let recording = json(path);
    let of = |name: &str| recording[name].as_array().cloned().unwrap_or_default();
    let exchanges = of("interactions").into_iter().chain(of("exchanges"));
    exchanges.filter(|it| it.get("request").is_some()).map(|it| exchange(&it)).collect()
}

/// An address may be whole, or its path.
fn exchange(interaction: &Value) -> Exchange {
    let (request, response) = (&interaction["request"], &interaction["response"]);
    let address = request.get("path").or(request.get("url")).unwrap().as_str().unwrap();
    let path = address.strip_prefix("https://management.azure.com").unwrap_or(address);
    Exchange {
        method: request["method"].as_str().unwrap().parse().unwrap(),
        path: path.to_owned(),
        asked: headers(&request["headers"]),
        sent: bytes(&request["body"]),
        status: StatusCode::from_u16(u16::try_from(response["status"].as_u64().unwrap()).unwrap())
            .unwrap(),
        told: headers(&response["headers"]),
        answered: bytes(&response["body"]),
    }
}

pub(crate) fn headers(recorded: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in recorded.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name: HeaderName = name.to_ascii_lowercase().parse().unwrap();
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    headers
}

pub(crate) fn bytes(recorded: &Value) -> Bytes {
    match recorded {
        Value::Null => Bytes::new(),
        Value::String(text) => Bytes::from(text.clone()),
        body => Bytes::from(serde_json::to_vec(body).unwrap()),
    }
}
