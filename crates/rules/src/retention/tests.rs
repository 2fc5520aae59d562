//! Tests of retention: tables with their boundaries, and invariants. Here is what they are told with.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::in_use::Use;

mod cap;
mod good;
mod invariants;
mod stages;

fn policy() -> Retention {
    Retention {
        keep: 2,
        deprecate_after_days: 14,
        trim_after_days: 30,
        delete_after_days: 60,
        quarantine_days: 7,
        adopt: false,
    }
}

fn gallery(versions: impl IntoIterator<Item = VersionFacts>) -> Facts {
    Facts {
        now: noon("2026-07-01"),
        home: region("westeurope"),
        wanted_regions: vec![region("westeurope"), region("northeurope")],
        versions: versions.into_iter().collect(),
        in_use: InUse::default(),
    }
}

fn standing(text: &str, standing: Standing) -> VersionFacts {
    let there =
        RegionFacts { completed: true, failed: false, excluded: standing != Standing::Released };
    VersionFacts {
        number: number(text),
        ours: true,
        provisioned: Provisioned::Succeeded,
        standing,
        in_a_run: false,
        hidden: standing != Standing::Released,
        regions: [(region("westeurope"), there), (region("northeurope"), there)].into(),
        published_at: None,
        released_at: None,
        superseded_at: None,
        deprecated_at: None,
        pinned: None,
        protected_until: None,
        given_up: BTreeMap::new(),
        base_of: vec![],
    }
}

fn released(number: &str) -> VersionFacts {
    standing(number, Standing::Released)
}

fn deprecated(number: &str, day: &str) -> VersionFacts {
    standing(number, Standing::Deprecated).deprecated_on(day)
}

impl VersionFacts {
    fn superseded(mut self, day: &str) -> VersionFacts {
        self.superseded_at = Some(noon(day));
        self
    }

    fn deprecated_on(mut self, day: &str) -> VersionFacts {
        self.deprecated_at = Some(noon(day));
        self
    }

    fn published(mut self, day: &str) -> VersionFacts {
        self.published_at = Some(noon(day));
        self
    }

    fn pinned(mut self, until: Option<&str>) -> VersionFacts {
        self.pinned = Some(Pin { until: until.map(noon), why: "audit".to_owned() });
        self
    }
}

fn lines(verdicts: &BTreeMap<VersionNumber, Verdict>) -> Vec<String> {
    let line = |(number, verdict): (&VersionNumber, &Verdict)| {
        let word = verdict.stage().map_or("keep", verb);
        format!("{number} {word}: {}", verdict.reasons().join(" / "))
    };
    verdicts.iter().map(line).collect()
}

fn days_ago(days: i64) -> DateTime<Utc> {
    noon("2026-07-01") - TimeDelta::days(days)
}

fn number(text: &str) -> VersionNumber {
    text.parse().unwrap()
}

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

fn noon(day: &str) -> DateTime<Utc> {
    format!("{day}T12:00:00Z").parse().unwrap()
}
