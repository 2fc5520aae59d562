//! Long-running operations and their status URLs: signed, some 3,000 characters long, secret, and
//! other ones in the two headers (recorded for every provider).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::{World, moment};
use crate::guid;

/// How long the status of an operation that has ended can be asked for.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// Whose operation it is: that decides the form of its URLs and of its instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Provider {
    /// Galleries: `capsOperations`.
    Gallery,
    /// Image Builder: upper-case names, Z.
    Builder,
    /// Machines: `operations`.
    Machine,
    /// Resource groups: Location alone.
    Group,
}

/// A long-running operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) provider: Provider,
    pub(super) subscription: String,
    pub(super) location: String,
    pub(super) started: DateTime<Utc>,
    pub(super) ended: Option<DateTime<Utc>>,
    /// Code and message, once it has failed.
    pub(super) error: Option<(String, String)>,
    /// The `Retry-After` that was recorded for it, in seconds.
    pub(super) retry_after_secs: Option<u32>,
}

/// Which of the two headers a URL was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    AsyncOperation,
    Location,
}

impl Operation {
    /// Starts an operation on the resource `id`. Its answers carry a Retry-After only when one was
    /// recorded for it: [`Operation::start_paced`].
    pub(super) fn start(
        world: &World<'_>,
        provider: Provider,
        id: &str,
        location: &str,
    ) -> Result<Operation, Trouble> {
        let sequence = world.records.count("operations")?.to_string();
        let operation = Operation {
            id: guid::of(&["operation", &id.to_ascii_lowercase(), &sequence]),
            provider,
            subscription: id.split('/').nth(2).unwrap_or_default().to_owned(),
            location: super::region::short(location),
            started: world.now,
            ended: None,
            error: None,
            retry_after_secs: None,
        };
        world.records.put_operation(&operation.id, &operation)?;
        Ok(operation)
    }

    /// Starts an operation whose answers ask the client to wait for `retry_after_secs`.
    pub(super) fn start_paced(
        world: &World<'_>,
        provider: Provider,
        id: &str,
        location: &str,
        retry_after_secs: u32,
    ) -> Result<Operation, Trouble> {
        let mut operation = Operation::start(world, provider, id, location)?;
        operation.retry_after_secs = Some(retry_after_secs);
        world.records.put_operation(&operation.id, &operation)?;
        Ok(operation)
    }

    /// Ends the operation `id`; nothing happens when it is not known.
    pub(super) fn end(
        world: &World<'_>,
        id: &str,
        at: DateTime<Utc>,
        error: Option<(String, String)>,
    ) -> Result<(), Trouble> {
        let Some(mut operation) = world.records.operation::<Operation>(id)? else { return Ok(()) };
        operation.ended = Some(at);
        operation.error = error;
        world.records.put_operation(id, &operation)
    }

    /// `reply` with the header that a PUT's answer carries: Azure-AsyncOperation alone (95 of 95
    /// recorded answers).
    pub(super) fn on_put(&self, world: &World<'_>, call: &Call, reply: Reply) -> Reply {
        // A PATCH was never recorded, and its document declares no header.
        if call.method == Method::PATCH {
            return self.paced(world, reply);
        }
        let url = self.url(world, call, Header::AsyncOperation);
        let reply = reply.header("azure-asyncoperation", url);
        self.paced(world, reply.header("azure-asyncnotification", "Enabled"))
    }

    /// `reply` with Location alone, as the documents declare it of machines: nothing recorded shows
    /// one being made.
    pub(super) fn declared(&self, world: &World<'_>, call: &Call, reply: Reply) -> Reply {
        self.paced(world, reply.header("location", self.url(world, call, Header::Location)))
    }

    /// 202 without a body, with both headers: DELETE, POST, and PATCH of a template (recorded).
    pub(super) fn accepted(&self, world: &World<'_>, call: &Call) -> Reply {
        let reply = Reply::empty(StatusCode::ACCEPTED);
        let reply = reply
            .header("azure-asyncoperation", self.url(world, call, Header::AsyncOperation))
            .header("location", self.url(world, call, Header::Location))
            .header("azure-asyncnotification", "Enabled");
        self.paced(world, reply)
    }

    /// 202 with Location alone: the deletion of a resource group (recorded).
    pub(super) fn located(&self, world: &World<'_>, call: &Call) -> Reply {
        self.declared(world, call, Reply::empty(StatusCode::ACCEPTED))
    }

    /// Retry-After as recorded: 60 from Compute for versions, 15 for groups, none from Image
    /// Builder and for galleries. Microsoft's clients sleep 30 seconds where there is none, so it
    /// can be asked for on every answer; it is 1 then.
    fn paced(&self, world: &World<'_>, reply: Reply) -> Reply {
        if world.options.retry_after_always {
            return reply.header("retry-after", "1");
        }
        match self.retry_after_secs {
            Some(secs) => reply.header("retry-after", secs.to_string()),
            None => reply,
        }
    }

    fn url(&self, world: &World<'_>, call: &Call, header: Header) -> String {
        let Operation { id, subscription, location, .. } = self;
        let origin = &call.origin;
        let version = call.api_version();
        let monitor = if header == Header::Location { "monitor=true&" } else { "" };
        let path = match self.provider {
            Provider::Gallery => format!(
                "providers/Microsoft.Compute/locations/{location}/capsOperations/{id}?{monitor}api-version={version}"
            ),
            Provider::Builder => format!(
                "providers/Microsoft.VirtualMachineImages/locations/{location}/operations/{id}?api-version={version}"
            ),
            Provider::Machine => format!(
                "providers/Microsoft.Compute/locations/{location}/operations/{id}?{monitor}api-version={version}"
            ),
            Provider::Group => format!("operationresults/{id}?api-version={version}"),
        };
        // A new signature each time, as recorded for the polls of a group's deletion.
        let ticks = moment::ticks(world.now).to_string();
        let signature = Signature::of(id, &ticks, header);
        format!(
            "{origin}/subscriptions/{subscription}/{path}&t={ticks}&c={}&s={}&h={}",
            signature.certificate, signature.signature, signature.hash
        )
    }

    /// GET of a status URL.
    pub(super) fn poll(world: &World<'_>, call: &Call, id: &str) -> Result<Reply, Trouble> {
        let unknown = || {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "OperationNotFound",
                format!("The operation '{id}' was not found or has expired."),
            )
        };
        let operation = world.records.operation::<Operation>(id)?.ok_or_else(unknown)?;
        if operation.ended.is_some_and(|it| world.now - it > REMEMBERED) {
            return Err(unknown().into());
        }
        let header = operation.header_of(call)?;

        if header == Header::Location {
            return Ok(operation.located_poll(world, call));
        }
        let reply = Reply::ok(operation.status());
        Ok(if operation.ended.is_none() { operation.paced(world, reply) } else { reply })
    }

    /// Which header the URL came from; a wrong signature is refused.
    fn header_of(&self, call: &Call) -> Result<Header, Refusal> {
        let given = |name: &str| call.query(name).unwrap_or_default();
        for header in [Header::AsyncOperation, Header::Location] {
            let right = Signature::of(&self.id, given("t"), header);
            if given("h") == right.hash && given("s") == right.signature {
                return Ok(header);
            }
        }
        Err(Refusal::gateway(
            StatusCode::FORBIDDEN,
            "AuthorizationFailed",
            "The signature of the status URL is not valid; send it exactly as it was received.",
        ))
    }

    fn located_poll(&self, world: &World<'_>, call: &Call) -> Reply {
        if self.ended.is_none() {
            return self.located(world, call);
        }
        match self.provider {
            // Image Builder repeats the status (recorded); the others answer without a body.
            Provider::Builder => Reply::ok(self.status()),
            Provider::Gallery | Provider::Machine | Provider::Group => Reply::empty(StatusCode::OK),
        }
    }

    fn status(&self) -> Value {
        let (name, time): (String, fn(DateTime<Utc>) -> String) = match self.provider {
            Provider::Builder => (self.id.to_ascii_uppercase(), moment::builder_operation),
            Provider::Gallery | Provider::Machine | Provider::Group => {
                (self.id.clone(), moment::compute)
            }
        };
        let mut body = json!({ "name": name, "startTime": time(self.started) });
        let Some(ended) = self.ended else {
            body["status"] = json!("InProgress");
            return body;
        };
        body["endTime"] = json!(time(ended));
        body["status"] = json!("Succeeded");
        if let Some((code, message)) = &self.error {
            body["status"] = json!("Failed");
            body["error"] = json!({ "code": code, "message": message });
        }
        body
    }
}

/// The secret part of a status URL, in the lengths that were recorded.
struct Signature {
    certificate: String,
    signature: String,
    hash: String,
}

impl Signature {
    fn of(id: &str, ticks: &str, header: Header) -> Signature {
        let kind = if header == Header::Location { "location" } else { "asyncoperation" };
        Signature {
            certificate: format!("MIIHhzCCBm-gAwIB{}", noise(&["certificate"], 2559)),
            signature: noise(&["signature", id, ticks, kind], 342),
            hash: noise(&["hash", id, ticks, kind], 43),
        }
    }
}

/// `length` characters of base64 that follow from `words`.
fn noise(words: &[&str], length: usize) -> String {
    let mut text = String::with_capacity(length + 43);
    let mut block: u32 = 0;
    while text.len() < length {
        let mut hash = Sha256::new();
        for word in words {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        hash.update(block.to_be_bytes());
        text.push_str(&URL_SAFE_NO_PAD.encode(hash.finalize()));
        block += 1;
    }
    text.truncate(length);
    text
}
