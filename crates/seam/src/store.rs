//! Opens the store of the ledger: a folder, this process's memory, or a container of Azure Blob
//! Storage, which object_store reaches over the seam.
//!
//! object_store reads the wall clock for a request's `Date` only (replaced here), and for the
//! modification times of what is in memory, which nobody uses. Its retries are off and its
//! credentials are not used: the seam adds the token.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::HeaderValue;
use http::header::DATE;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::outbound::Audience;
use crate::{Endpoint, Fault, Outbound};

/// The audience of Azure Storage in every Azure cloud.
const STORAGE: Audience = Audience("https://storage.azure.com");

/// Opens the store at `url`: `memory:`, `file:///folder` (made if absent, every write synced),
/// `https://account.blob.core.windows.net/container/prefix`, or, on this machine,
/// `http://127.0.0.1:port/account/container/prefix`. A prefix may be absent.
///
/// Nothing is asked over the network yet. A store in memory is empty and forgotten when dropped.
///
/// # Errors
/// A text that names what is wrong with the address, and never repeats a secret in it.
pub fn open(url: &str, outbound: &Outbound) -> Result<Arc<dyn ObjectStore>, String> {
    let parsed = Url::parse(url).map_err(|error| {
        format!(
            "the store is not an address ({error}); write `memory:`, `file:///folder` or \
             `https://account.blob.core.windows.net/container`"
        )
    })?;

    match parsed.scheme() {
        "memory" => Ok(Arc::new(InMemory::new())),
        "file" => folder(&parsed),
        _ => blobs(url, outbound),
    }
}

fn folder(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    let folder = url
        .to_file_path()
        .map_err(|()| format!("`{url}` is not a folder of this machine; write `file:///folder`"))?;
    open_folder(&folder)
}

/// Opens the store in `folder`, which is made if absent; every write is synced to the disk.
///
/// # Errors
/// When the folder cannot be made or read.
pub fn open_folder(folder: &Path) -> Result<Arc<dyn ObjectStore>, String> {
    let named = |error: &dyn std::fmt::Display| {
        format!("the store `{}` cannot be used: {error}; choose another folder", folder.display())
    };
    std::fs::create_dir_all(folder).map_err(|error| named(&error))?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| named(&error))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn blobs(url: &str, outbound: &Outbound) -> Result<Arc<dyn ObjectStore>, String> {
    let endpoint: Endpoint = url.parse().map_err(|error| format!("the store: {error}"))?;
    let parsed = Url::parse(endpoint.as_str()).map_err(|error| format!("the store: {error}"))?;
    let host = parsed.host_str().unwrap_or_default();
    let service = format!("{}://{}", parsed.scheme(), endpoint.authority());
    let mut path = parsed.path_segments().into_iter().flatten().filter(|it| !it.is_empty());

    // On this machine the account is in the path, in the cloud it is in the name of the host.
    let (account, service) = if endpoint.is_loopback() {
        let account = path.next().ok_or_else(|| {
            format!("`{url}` names no account; write `{service}/account/container`")
        })?;
        (account.to_owned(), format!("{service}/{account}"))
    } else {
        let account = host.split('.').next().unwrap_or_default();
        (account.to_owned(), service)
    };
    let container = path
        .next()
        .ok_or_else(|| format!("`{url}` names no container; write `{service}/container`"))?;
    let prefix = path.collect::<Vec<_>>().join("/");

    let connector = Connector(outbound.clone());
    let store = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_endpoint(service)
        .with_allow_http(endpoint.is_loopback())
        .with_skip_signature(true)
        .with_http_connector(connector)
        .with_client_options(ClientOptions::new().with_allow_http(endpoint.is_loopback()))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .map_err(|error| format!("the store `{url}` cannot be used: {error}"))?;

    if prefix.is_empty() {
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// object_store's way to ask for an HTTP client.
#[derive(Clone, Debug)]
struct Connector(Outbound);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

#[derive(Clone, Debug)]
struct Service(Outbound);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let mut request = http::Request::from_parts(parts, whole(body).await?);
        let date = self.0.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::try_from(date) {
            request.headers_mut().insert(DATE, date);
        }
        request.extensions_mut().insert(STORAGE);

        let answer = self.0.send(request).await.map_err(http_error)?;

        let mut response = http::Response::new(streamed(answer.body.into_stream()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

async fn whole(
    mut body: impl http_body::Body<Data = Bytes, Error = HttpError> + Unpin,
) -> Result<Bytes, HttpError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// object_store wants a body that is `Sync`, which a boxed stream is not; a mutex that is never
/// locked, only unwrapped by its one owner, makes it so.
fn streamed(body: BoxStream<'static, Result<Bytes, Fault>>) -> HttpResponseBody {
    let mut body = Mutex::new(body);
    let frames = stream::poll_fn(move |context| {
        let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(context)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data).map_err(http_error)))
    });
    HttpResponseBody::new(StreamBody::new(frames))
}

fn http_error(fault: Fault) -> HttpError {
    let kind = match fault {
        Fault::NotSent(_) => HttpErrorKind::Connect,
        Fault::PerhapsDone(_) => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, fault)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::Router;
    use axum::extract::Query;
    use axum::http::{HeaderMap, Method, StatusCode, Uri};
    use axum::response::{IntoResponse, Response};
    use chrono::{DateTime, Utc};
    use futures::TryStreamExt;
    use object_store::path::Path as Key;
    use object_store::{Error, ObjectStoreExt, PutMode};

    use super::*;
    use crate::{Local, Tokens, ToldClock};

    /// The little of Blob Storage that the ledger needs: put if absent, get, list by prefix.
    #[derive(Clone, Default)]
    struct Account {
        blobs: Arc<Mutex<BTreeMap<String, Bytes>>>,
        calls: Arc<Mutex<Vec<String>>>,
    }

    impl Account {
        async fn answer(
            self,
            method: Method,
            uri: Uri,
            headers: HeaderMap,
            Query(query): Query<BTreeMap<String, String>>,
            body: Bytes,
        ) -> Response {
            assert_eq!(headers["authorization"], "Bearer hush");
            assert_eq!(headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
            assert!(headers.contains_key("x-ms-version"));
            self.calls.lock().unwrap().push(format!("{method} {}", uri.path()));

            let dated = [("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"), ("etag", "\"1\"")];
            let mut blobs = self.blobs.lock().unwrap();
            let key = uri.path().trim_start_matches("/acc/box/").to_owned();
            match method {
                Method::PUT if key == "ill" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                Method::PUT
                    if headers.contains_key("if-none-match") && blobs.contains_key(&key) =>
                {
                    StatusCode::CONFLICT.into_response()
                }
                Method::PUT => {
                    blobs.insert(key, body);
                    (StatusCode::CREATED, dated).into_response()
                }
                Method::GET if query.get("comp").is_some_and(|it| it == "list") => {
                    let prefix = query.get("prefix").cloned().unwrap_or_default();
                    let named = blobs.iter().filter(|(key, _)| key.starts_with(&prefix));
                    let listed: String = named.map(|(key, body)| listed(key, body.len())).collect();
                    let xml = format!(
                        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults>\
                         <Blobs>{listed}</Blobs><NextMarker/></EnumerationResults>"
                    );
                    xml.into_response()
                }
                _ => match blobs.get(&key) {
                    Some(body) => (dated, body.clone()).into_response(),
                    None => StatusCode::NOT_FOUND.into_response(),
                },
            }
        }
    }

    fn listed(key: &str, length: usize) -> String {
        format!(
            "<Blob><Name>{key}</Name><Properties><Last-Modified>Thu, 01 Jan 1970 00:00:00 GMT\
             </Last-Modified><Content-Length>{length}</Content-Length><Content-Type/>\
             <Etag>1</Etag><ResourceType>file</ResourceType></Properties></Blob>"
        )
    }

    fn outbound(routers: impl IntoIterator<Item = (String, Router)>) -> Outbound {
        Outbound::new(
            Arc::new(Local::to(routers)),
            Arc::new(ToldClock(DateTime::<Utc>::UNIX_EPOCH)),
            Arc::new(Tokens::fixed("hush")),
            ["127.0.0.1:1".to_owned()],
        )
    }

    fn account() -> (Account, Outbound) {
        let account = Account::default();
        let route = account.clone();
        let router = Router::new().fallback(move |method, uri, headers, query, body| {
            route.clone().answer(method, uri, headers, query, body)
        });
        (account, outbound([("127.0.0.1:1".to_owned(), router)]))
    }

    #[tokio::test]
    async fn a_blob_is_created_once_and_read_and_listed_below_its_prefix() {
        let (account, outbound) = account();
        let store = open("http://127.0.0.1:1/acc/box/here", &outbound).unwrap();
        let key = Key::from("ledger/one.json");

        store.put_opts(&key, "1".into(), PutMode::Create.into()).await.unwrap();
        let again = store.put_opts(&key, "2".into(), PutMode::Create.into()).await;
        let read = store.get(&key).await.unwrap().bytes().await.unwrap();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let missing = store.get(&Key::from("none")).await;

        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(read, "1");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].location, key);
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        assert_eq!(account.calls.lock().unwrap()[0], "PUT /acc/box/here/ledger/one.json");
    }

    #[tokio::test]
    async fn an_ill_store_is_asked_once() {
        let (account, outbound) = account();
        let store = open("http://127.0.0.1:1/acc/box", &outbound).unwrap();

        let error = store.put(&Key::from("ill"), "1".into()).await.unwrap_err();

        assert_eq!(account.calls.lock().unwrap().len(), 1);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }

    #[tokio::test]
    async fn a_container_in_the_cloud_is_below_its_account_and_sent_no_token_unless_trusted() {
        let store = open("https://acc.blob.core.windows.net/box/here", &outbound([])).unwrap();

        let error = store.get(&Key::from("a")).await.unwrap_err();

        let text = format!("{error:?}");
        assert!(text.contains("https://acc.blob.core.windows.net/box/here/a"), "{text}");
        assert!(text.contains("is not a host that is sent our tokens"), "{text}");
    }

    #[tokio::test]
    async fn a_folder_is_made_and_keeps_what_is_put_into_it() {
        let home = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(home.path().join("new/state")).unwrap();
        let key = Key::from("a/b.json");

        let store = open(url.as_str(), &outbound([])).unwrap();
        store.put_opts(&key, "1".into(), PutMode::Create.into()).await.unwrap();

        let reopened = open(url.as_str(), &outbound([])).unwrap();
        assert_eq!(reopened.get(&key).await.unwrap().bytes().await.unwrap(), "1");
        let again = reopened.put_opts(&key, "2".into(), PutMode::Create.into()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    }

    #[test]
    fn a_wrong_address_is_named_with_what_to_write() {
        let cases = [
            ("folder", "write `memory:`"),
            ("http://10.0.0.1/acc/box", "use https"),
            ("http://127.0.0.1:1/acc", "names no container"),
            ("https://acc.blob.core.windows.net", "names no container"),
            ("https://acc.blob.core.windows.net/box?sig=hush", "managed identity"),
            ("s3://bucket", "not a scheme"),
        ];
        for (url, expected) in cases {
            let error = open(url, &outbound([])).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(open("memory:", &outbound([])).is_ok());
    }
}
