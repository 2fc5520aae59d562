//! What a step may use: the time it was given, the clients, the catalog in force, and the one way
//! to write on Azure, which is to record the intent first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arm::{Arm, DefinitionId, GalleryId, Permit, TemplateId};
use bus::Pointer;
use chrono::{DateTime, Utc};
use ledger::{AppendError, Draft, Ledger, Stream, StreamName};
use object_store::ObjectStore;
use rules::ImageName;
use rules::VersionNumber;
use rules::catalog::{Catalog, Image};
use rules::event::{Event, Operation, Outcome};
use rules::state::{Claim, Run, SEND_WITHIN, State};
use rules::wake::{Subject, Wake};
use seam::Outbound;
use tracing::error;
use url::Url;

use crate::settings::{Settings, authority};
use crate::step::{Failure, Settled};

/// What one invocation may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// When the invocation began. A step takes no other time.
    pub now: DateTime<Utc>,
    pub arm: Arm,
    pub ledger: Ledger,
    pub outbound: Outbound,
    pub settings: Arc<Settings>,
    /// The catalog in force.
    pub catalog: Arc<Catalog>,
    /// Its digest.
    pub policy: String,
    /// Who acts: the function's name.
    pub by: &'static str,
    /// What caused this: the message, the tick or the request.
    pub cause: String,
    /// The host's invocation id; with a counter it names each entry that this invocation writes.
    pub invocation: String,
    pub entries: Arc<AtomicU32>,
}

/// A wish of the ledger that has come due: what a queue function is called with.
#[derive(Debug)]
pub struct Visit {
    pub image: ImageName,
    /// What the catalog says of the image; nothing when it was taken out.
    policy: Option<Image>,
    pub wake: Wake,
    /// False: the message is the first of its wish, and nothing has been done about it yet.
    pub again: bool,
    pub stream: Stream,
}

/// What a write is to make true.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The version, template or definition that is written.
    pub target: String,
    pub operation: Operation,
    pub text: String,
    pub evidence: Vec<String>,
}

impl Visit {
    /// A visit to the image of `pointer` for `wake`.
    pub fn new(pointer: &Pointer, catalog: &Catalog, wake: Wake, stream: Stream) -> Visit {
        let image = pointer.image.clone();
        let policy = catalog.image(&image).cloned();
        let again = pointer.ordinal > 0 || pointer.generation > 0;
        Visit { image, policy, wake, again, stream }
    }

    /// The state of the image.
    pub fn state(&self) -> &State {
        &self.stream.state
    }

    /// What the catalog says of the image.
    ///
    /// # Errors
    /// [`Failure::Never`] when it was taken out of the catalog.
    pub fn policy(&self) -> Result<&Image, Failure> {
        let gone = || Failure::never(format!("`{}` is no longer in the catalog", self.image));
        self.policy.as_ref().ok_or_else(gone)
    }

    /// The run that is visited.
    ///
    /// # Errors
    /// [`Failure::Never`] when the wish is not about an open run.
    pub fn run(&self) -> Result<&Run, Failure> {
        let open = match self.wake.subject {
            Subject::Run(version) => self.state().run(version),
            _ => None,
        };
        open.ok_or_else(|| Failure::never("the wish is not about an open run".to_owned()))
    }

    /// The version that is visited: a run's, a build's, or one that is being retired.
    ///
    /// # Errors
    /// [`Failure::Never`] when the wish is not about a version.
    pub fn version(&self) -> Result<VersionNumber, Failure> {
        match self.wake.subject {
            Subject::Run(version)
            | Subject::Build(version)
            | Subject::Retirement(version)
            | Subject::Children(version) => Ok(version),
            Subject::Opening | Subject::Notice(_) => {
                Err(Failure::never("the wish is not about a version".to_owned()))
            }
        }
    }
}

impl Context {
    /// The entry that records `events` in a stream, under a name of its own.
    pub fn draft(&self, events: Vec<Event>) -> Draft {
        let ordinal = self.entries.fetch_add(1, Ordering::Relaxed);
        Draft {
            id: format!("{}.{ordinal}", self.invocation),
            cause: self.cause.clone(),
            by: self.by.to_owned(),
            at: self.now,
            policy: self.policy.clone(),
            events,
        }
    }

    /// Records what is about to be written, and returns the permit to write it. An intent for the
    /// same thing whose time has passed without an outcome gets its outcome here: whoever comes
    /// again has read the resource, and nothing is under way any more.
    ///
    /// # Errors
    /// [`Failure::Later`] while somebody else may still be writing the same thing, or when the
    /// ledger cannot be written; [`Failure::Overtaken`] when another step was faster.
    pub async fn intend(&self, visit: &mut Visit, intent: Intent) -> Result<Permit, Failure> {
        if let Claim::NotBefore(at) = visit.state().claim(&intent.target, self.now) {
            let why = format!("`{}` may still be written by another delivery", intent.target);
            return Err(Failure::later_at(why, at));
        }

        let mut events = Vec::new();
        if let Some(open) = visit.state().intents.get(&intent.target) {
            let because =
                "whoever recorded it has not come back, and its time has passed".to_owned();
            events.push(Event::EffectSettled {
                target: intent.target.clone(),
                operation: open.operation,
                outcome: Outcome::Unknown { because },
            });
        }
        let send_before = self.now + SEND_WITHIN;
        events.push(Event::IntentRecorded {
            target: intent.target,
            operation: intent.operation,
            intent: intent.text,
            evidence: intent.evidence,
            send_before,
        });
        self.ledger.append(&mut visit.stream, self.draft(events)).await?;
        Ok(Permit { send_before })
    }

    /// What the answer to a write means for its intent: settled, or open until the resource has
    /// been read again.
    pub fn settle<T>(
        &self,
        target: &str,
        operation: Operation,
        answer: Result<T, arm::Error>,
    ) -> Result<Settled<T>, Failure> {
        let target = target.to_owned();
        let error = match answer {
            Ok(value) => {
                let outcome = Outcome::Accepted;
                let event = Event::EffectSettled { target, operation, outcome };
                return Ok(Settled::Accepted(value, event));
            }
            Err(error) => error,
        };

        let because = error.to_string();
        if let arm::Error::NotSent { .. } = &error {
            let outcome = Outcome::NotSent { because };
            let event = Event::EffectSettled { target, operation, outcome };
            return Err(Failure::from(error).with(vec![event]));
        }
        if error.perhaps_done() {
            // The claim keeps everybody away until the resource can be believed again.
            return Err(Failure::from(error));
        }
        let outcome = Outcome::Refused { because };
        Ok(Settled::Refused(error, Event::EffectSettled { target, operation, outcome }))
    }

    /// The resource id of `image`'s definition.
    pub fn definition(&self, image: &ImageName) -> DefinitionId {
        GalleryId::from(&self.catalog.gallery).definition(image.as_str())
    }

    /// The resource id of a build's template.
    pub fn template(&self, name: &str) -> TemplateId {
        TemplateId {
            subscription: self.catalog.gallery.subscription.clone(),
            resource_group: self.catalog.build.resource_group.clone(),
            name: name.to_owned(),
        }
    }

    /// The blobs in `container` of `account`, an account that Azure itself has named; its host is
    /// the one that the settings give to it.
    ///
    /// # Errors
    /// When `account` is not the name of one.
    pub fn store_of(&self, account: &str, container: &str) -> Result<Arc<dyn ObjectStore>, String> {
        let base = self.settings.blobs_of(account);
        let base = base.ok_or_else(|| format!("`{account}` is not a storage account's name"))?;
        let address = format!("{base}/{container}");
        let url = Url::parse(&address).map_err(|error| error.to_string())?;
        let host = authority(&url).ok_or("an account's address has a host")?;
        seam::store::open(&address, &self.outbound.trusting(host))
    }

    /// The notice that says `text`, when the catalog wants people to be told.
    pub fn notice(&self, text: impl Into<String>) -> Option<Event> {
        self.catalog.notify.webhook.then(|| Event::NoticeDue { text: text.into() })
    }

    /// Reads the stream of `image`; nothing when it is broken, which is said aloud. One image's
    /// broken stream must not stop the others.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read now.
    pub async fn readable(&self, image: &ImageName) -> Result<Option<Stream>, Failure> {
        match self.stream(image).await {
            Ok(stream) => Ok(Some(stream)),
            Err(Failure::Broken(why)) => {
                error!(%image, "Nothing is done for {image}: {why}");
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads the stream of `image`.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read or is broken.
    pub async fn stream(&self, image: &ImageName) -> Result<Stream, Failure> {
        Ok(self.ledger.read(&StreamName::Image(image.clone())).await?)
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Failure {
        match error {
            AppendError::Overtaken { .. } => Failure::Overtaken,
            AppendError::WrongMove(wrong) => Failure::never(wrong.to_string()),
            AppendError::Store(error) => error.into(),
        }
    }
}
