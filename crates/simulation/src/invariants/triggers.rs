//! Every accepted trigger ends in exactly one of: a run, a coalesced run, or a recorded reason why
//! not. None is lost.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Fact, Invariant, Seen};

/// By image and trigger: how it ended.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    accepted: BTreeMap<(String, String), Accepted>,
}

#[derive(Debug)]
struct Accepted {
    at: DateTime<Utc>,
    ended: Option<&'static str>,
}

impl Invariant for Triggers {
    fn name(&self) -> &'static str {
        "every accepted trigger ends once"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            match fact.name {
                "triggerAccepted" => {
                    let key = (fact.stream.to_owned(), id(&fact.body["trigger"]));
                    let accepted = Accepted { at: fact.entry.at, ended: None };
                    if self.accepted.insert(key.clone(), accepted).is_some() {
                        return Err(format!("{}: {} was accepted twice", key.0, key.1));
                    }
                }
                "triggerCoalesced" => self.ends(&fact, fact.text("trigger"), "coalesced")?,
                "triggerRefused" => {
                    let id = id(&fact.body["trigger"]);
                    // One that was never accepted may be refused.
                    if self.accepted.contains_key(&(fact.stream.to_owned(), id.clone())) {
                        self.ends(&fact, &id, "refused")?;
                    }
                }
                "runOpened" => {
                    let served = fact.body["triggers"].as_array().into_iter().flatten();
                    for id in served.filter_map(Value::as_str) {
                        self.ends(&fact, id, "a run")?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        if seen.calm.is_none() {
            return Ok(());
        }
        let is_lost = |it: &Accepted| it.ended.is_none() && !seen.is_young(it.at);
        let open = self.accepted.iter().find(|(_, it)| is_lost(it));
        match open {
            Some(((image, id), _)) => Err(format!("{image}: {id} was accepted and never ended")),
            None => Ok(()),
        }
    }
}

impl Triggers {
    fn ends(&mut self, fact: &Fact<'_>, id: &str, how: &'static str) -> Result<(), String> {
        let image = fact.stream;
        let Some(ended) = self.accepted.get_mut(&(image.to_owned(), id.to_owned())) else {
            if fact.name == "triggerCoalesced" {
                return Ok(());
            }
            return Err(format!("{image}: {id} ended in {how} and was never accepted"));
        };
        match ended.ended.replace(how) {
            Some(before) => Err(format!("{image}: {id} ended twice, in {before} and in {how}")),
            None => Ok(()),
        }
    }
}

/// What tells one trigger from another, as the ledger's readers see it.
pub(super) fn id(trigger: &Value) -> String {
    let text = |member: &str| trigger[member].as_str().unwrap_or_default();
    match text("kind") {
        "schedule" => format!("schedule:{}", text("occurrence")),
        "base" => format!("base:{}", text("version")),
        "parent" => format!("parent:{}:{}", text("image"), text("version")),
        "advisory" => format!("advisory:{}", text("id")),
        _ => format!("person:{}", text("request")),
    }
}
