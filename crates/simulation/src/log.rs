//! What the app says in its log, read as it is said: nothing secret may stand in it, and no step may
//! panic.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

use crate::watch::Watch;

/// The crates that are in the function app.
const OURS: [&str; 7] = ["functions", "arm", "bus", "ledger", "reports", "rules", "seam"];

/// Reads the log of one seed, of any level.
pub(crate) struct Log(pub(crate) Arc<Watch>);

/// The text of a line, with its fields.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let name = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_event() && *metadata.level() <= Level::DEBUG && OURS.contains(&name)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.says("a line of the log", &line.0);
        // What stands there when one does (`functions/dispatch.rs`).
        if line.0.contains("the step panicked") {
            self.0.breaks(&format!("no step panics:{}", line.0));
        }
    }

    // Spans hold what their events hold.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
