//! Bearer tokens: whose they are, one credential for each audience, built at its first use, behind
//! one lock.
//!
//! azure_identity reads the wall clock and the environment, and its cache never rests while
//! virtual time is behind; so in virtual time there is a fixed token instead.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use http::Method;
use tokio::sync::Mutex;

use crate::credential::Whose;
use crate::{Clock, Wire};

/// Where bearer tokens come from: one identity for everything, or a second one that alone deletes.
pub struct Tokens {
    source: Source,
    deleting: Option<Box<Tokens>>,
}

enum Source {
    Fixed(String),
    Asked { whose: Whose, held: Mutex<BTreeMap<String, Held>> },
}

/// What is held for one audience.
struct Held {
    /// It keeps its token until shortly before that expires.
    credential: Arc<dyn TokenCredential>,
    /// The token that was given out last.
    last: String,
}

impl Tokens {
    /// The same token for every audience: tests, the simulation and the desk.
    pub fn fixed(token: impl Into<String>) -> Tokens {
        Tokens { source: Source::Fixed(token.into()), deleting: None }
    }

    /// Tokens of the function app's managed identity, asked for over `wire`: the user-assigned one
    /// with `client_id`, else the system-assigned one. `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`
    /// in the environment say where to ask, as the platform sets them; without them it is the
    /// virtual machine's metadata service.
    pub fn managed(wire: Arc<dyn Wire>, client_id: Option<String>) -> Tokens {
        Tokens::asked(Whose::Managed { wire, client_id })
    }

    /// Tokens of whoever is logged in to the Azure CLI, or to the Azure Developer CLI, on this
    /// machine. `clock` is the system's: it says when a token is too old.
    pub fn developer(clock: Arc<dyn Clock>) -> Tokens {
        Tokens::asked(Whose::Developer { clock, executor: None })
    }

    fn asked(whose: Whose) -> Tokens {
        let held = Mutex::new(BTreeMap::new());
        Tokens { source: Source::Asked { whose, held }, deleting: None }
    }

    /// The same, but requests that delete carry tokens of `deleting`, so that no other request may
    /// be given the right to.
    pub fn deleting_as(self, deleting: Tokens) -> Tokens {
        Tokens { deleting: Some(Box::new(deleting)), ..self }
    }

    /// The tokens for a request with `method`.
    pub fn of(&self, method: &Method) -> &Tokens {
        match &self.deleting {
            Some(deleting) if method == Method::DELETE => deleting,
            _ => self,
        }
    }

    /// A token for `audience` (`https://management.azure.com`), from the cache while it is good
    /// for 5 minutes more.
    ///
    /// # Errors
    /// A text that names the audience and the next move, and never holds a token.
    pub async fn bearer(&self, audience: &str) -> Result<String, String> {
        let (whose, held) = match &self.source {
            Source::Fixed(token) => return Ok(token.clone()),
            Source::Asked { whose, held } => (whose, held),
        };
        // Held over the request, so that a burst of steps asks the endpoint once.
        let mut held = held.lock().await;
        whose.give(&mut held, audience).await
    }

    /// A token for `audience` in the place of `refused`, which the service did not accept although
    /// it should be good; nothing when there is no other.
    ///
    /// The first step that was refused asks; the others get what it was given.
    ///
    /// # Errors
    /// As [`Tokens::bearer`].
    pub async fn instead_of(
        &self,
        refused: &str,
        audience: &str,
    ) -> Result<Option<String>, String> {
        let Source::Asked { whose, held } = &self.source else { return Ok(None) };
        let mut held = held.lock().await;
        if let Entry::Occupied(there) = held.entry(key(audience))
            && there.get().last == refused
        {
            // Its cache would give the same token until it expires.
            there.remove();
        }
        let token = whose.give(&mut held, audience).await?;
        Ok((token != refused).then_some(token))
    }
}

impl Whose {
    async fn give(
        &self,
        held: &mut BTreeMap<String, Held>,
        audience: &str,
    ) -> Result<String, String> {
        let refused = |error: &azure_core::Error| self.refused(audience, error);
        let held = match held.entry(key(audience)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let credential = self.credential().map_err(|error| refused(&error))?;
                free.insert(Held { credential, last: String::new() })
            }
        };
        let scope = format!("{}/.default", key(audience));
        let token = held.credential.get_token(&[&scope], None).await;
        held.last = token.map_err(|error| refused(&error))?.token.secret().to_owned();
        Ok(held.last.clone())
    }
}

fn key(audience: &str) -> String {
    audience.trim_end_matches('/').to_owned()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Fixed(_) => f.write_str("Tokens::fixed(…)"),
            Source::Asked { whose, .. } => write!(f, "Tokens of {}", whose.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::RawQuery;
    use axum::routing::get;
    use azure_identity::Executor;
    use chrono::DateTime;
    use http::StatusCode;

    use super::*;
    use crate::{Local, ToldClock};

    /// A machine's metadata service that counts what it is asked and gives `answer`.
    fn metadata(status: StatusCode, answer: &str) -> (Tokens, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let answer = answer.to_owned();
        let route = get(move |RawQuery(query): RawQuery| async move {
            let count = counter.fetch_add(1, Ordering::SeqCst);
            let query = query.unwrap_or_default();
            assert!(query.contains("client_id=ours"), "{query}");
            let audience = if query.contains("storage") { "storage" } else { "management" };
            (status, answer.replace("{n}", &format!("{audience}-{count}")))
        });
        let router = Router::new().route("/metadata/identity/oauth2/token", route);
        let wire = Local::to([("169.254.169.254".to_owned(), router)]);
        (Tokens::managed(Arc::new(wire), Some("ours".to_owned())), asked)
    }

    const GOOD: &str = r#"{"access_token":"secret-{n}","expires_on":"4102444800",
        "resource":"r","token_type":"Bearer"}"#;

    #[tokio::test]
    async fn a_token_is_asked_for_once_per_audience() {
        let (tokens, asked) = metadata(StatusCode::OK, GOOD);

        let first = tokens.bearer("https://management.azure.com").await.unwrap();
        let again = tokens.bearer("https://management.azure.com/").await.unwrap();
        let other = tokens.bearer("https://storage.azure.com").await.unwrap();

        assert_eq!(
            (first.as_str(), again.as_str()),
            ("secret-management-0", "secret-management-0")
        );
        assert_eq!(other, "secret-storage-1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_missing_identity_is_named_with_the_next_move_and_asked_for_once() {
        let (tokens, asked) = metadata(StatusCode::BAD_REQUEST, "{\"error\":\"invalid_request\"}");

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("https://management.azure.com"), "{error}");
        assert!(error.contains("`ours` is assigned to the function app"), "{error}");
        assert!(error.contains("invalid_request"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "azure_core's own retries are off");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_not_quoted() {
        let (tokens, _) = metadata(StatusCode::OK, r#"{"access_token":"secret","expires_on":1}"#);

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("is not a token of"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_busy_is_asked_once_per_step() {
        let (tokens, asked) = metadata(StatusCode::TOO_MANY_REQUESTS, "slow down");

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("429 slow down; it is asked again"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_machine_without_an_identity_endpoint_says_so() {
        let tokens = Tokens::managed(Arc::new(Local::default()), None);

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("cannot be reached"), "{error}");
        assert!(error.contains("nothing listens on `169.254.169.254`"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once_for_all_who_were_refused() {
        let (tokens, asked) = metadata(StatusCode::OK, GOOD);
        let arm = "https://management.azure.com";
        let refused = tokens.bearer(arm).await.unwrap();
        tokens.bearer("https://storage.azure.com").await.unwrap();

        let others = (0..20).map(|_| tokens.instead_of(&refused, arm));
        let others = futures::future::join_all(others).await;

        assert!(
            others.iter().all(|it| *it == Ok(Some("secret-management-2".to_owned()))),
            "{others:?}"
        );
        assert_eq!(asked.load(Ordering::SeqCst), 3, "one for all twenty");
        tokens.bearer("https://storage.azure.com").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3, "other audiences keep theirs");
    }

    #[tokio::test]
    async fn a_token_that_is_given_again_is_no_other() {
        let (tokens, asked) = metadata(StatusCode::OK, &GOOD.replace("{n}", "same"));
        let refused = tokens.bearer("https://management.azure.com").await.unwrap();

        let other = tokens.instead_of(&refused, "https://management.azure.com").await;

        assert_eq!(other, Ok(None));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let fixed = Tokens::fixed("hush").instead_of("hush", "https://any").await;
        assert_eq!(fixed, Ok(None));
    }

    #[test]
    fn only_a_request_that_deletes_is_of_the_deleting_identity() {
        let tokens = Tokens::fixed("ours").deleting_as(Tokens::fixed("deleting"));

        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH] {
            assert!(matches!(&tokens.of(&method).source, Source::Fixed(it) if it == "ours"));
        }
        let deleting = tokens.of(&Method::DELETE);
        assert!(matches!(&deleting.source, Source::Fixed(it) if it == "deleting"));
        let one = Tokens::fixed("one");
        assert!(matches!(&one.of(&Method::DELETE).source, Source::Fixed(it) if it == "one"));
    }

    /// A command line tool that says `said` and counts how often it is run.
    #[derive(Debug)]
    struct Tool {
        said: &'static str,
        run: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl Executor for Tool {
        async fn run(
            &self,
            _program: &std::ffi::OsStr,
            args: &[&std::ffi::OsStr],
        ) -> std::io::Result<std::process::Output> {
            let command = args[1].to_string_lossy();
            let az = "az account get-access-token -o json --scope https://management.azure.com/.d";
            if !command.contains(az) {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            self.run.fetch_add(1, Ordering::SeqCst);
            Ok(std::process::Output {
                status: std::process::ExitStatus::default(),
                stdout: self.said.as_bytes().to_vec(),
                stderr: Vec::new(),
            })
        }
    }

    fn developer(now: i64, said: &'static str) -> (Tokens, Arc<Tool>) {
        let tool = Arc::new(Tool { said, run: AtomicUsize::new(0) });
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(now, 0).unwrap()));
        let executor: Arc<dyn Executor> = Arc::clone(&tool) as Arc<dyn Executor>;
        (Tokens::asked(Whose::Developer { clock, executor: Some(executor) }), tool)
    }

    /// What `az account get-access-token` prints.
    const SAID: &str = r#"{"accessToken":"secret","expiresOn":"2026-09-08 14:00:00.000000",
        "expires_on":1788868800,"subscription":"s","tenant":"t","tokenType":"Bearer"}"#;

    #[tokio::test]
    async fn a_developers_token_is_kept_until_shortly_before_it_expires() {
        for (now, runs) in [(1_788_868_800 - 301, 1), (1_788_868_800 - 300, 2)] {
            let (tokens, tool) = developer(now, SAID);

            for _ in 0..2 {
                let token = tokens.bearer("https://management.azure.com").await.unwrap();
                assert_eq!(token, "secret");
            }

            assert_eq!(tool.run.load(Ordering::SeqCst), runs);
        }
    }

    #[tokio::test]
    async fn a_developer_who_is_not_logged_in_is_told_how() {
        let (tokens, _) = developer(0, r#"{"accessToken":"secret"}"#);

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("`az login`"), "{error}");
        assert!(error.contains("--scope https://management.azure.com/.default"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn a_fixed_token_is_never_shown() {
        let tokens = Tokens::fixed("hush");

        assert_eq!(tokens.bearer("https://any").await.unwrap(), "hush");
        assert!(!format!("{tokens:?}").contains("hush"));
    }
}
