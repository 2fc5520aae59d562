//! The log: a line of JSON for each thing that is said, which no reader of it obeys and none chokes
//! on. Whatever Azure, a person or a scanned machine has called itself may stand in it.

use std::borrow::Cow;
use std::io::{self, Write};

use rules::plain::{escaped, is_plain};
use serde_json::Value;

/// A longer line is cut, in bytes: Application Insights takes messages of 32,768 characters
/// (<https://learn.microsoft.com/azure/azure-monitor/service-limits#application-insights>).
const LONGEST_LINE: usize = 32 << 10;

/// What is left of each text in a line that is cut, in characters.
const LONGEST_TEXT: usize = 2000;

/// Passes lines of JSON on, each made plain. A line comes in one piece, as `tracing` writes it.
#[derive(Debug)]
pub(crate) struct Plain<W>(pub(crate) W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `line`, which says the same as JSON, in plain letters and not too many of them.
fn plain(line: &str) -> Cow<'_, str> {
    if line.len() <= LONGEST_LINE && line.trim_end_matches('\n').chars().all(is_plain) {
        return Cow::Borrowed(line);
    }
    let mut text = line.trim_end_matches('\n').to_owned();
    if text.len() > LONGEST_LINE {
        text = match serde_json::from_str::<Value>(&text) {
            Ok(mut value) => {
                cut(&mut value);
                value.to_string()
            }
            Err(_) => text.chars().take(LONGEST_TEXT).collect(),
        };
    }
    Cow::Owned(format!("{}\n", escaped(&text)))
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        Value::Object(members) => members.values_mut().for_each(cut),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log holds after `reason` was logged as a field and in the message.
    fn logged(reason: &str) -> String {
        let written = Written::default();
        let to = written.clone();
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
        let lines = lines.with_writer(move || Plain(to.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::error!(image = %reason, "Gave up: {reason}");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_is_one_line_in_plain_letters_and_still_says_the_same() {
        let reason = "x\r\n{\"level\":\"INFO\"}\u{1b}[2J\0\u{9b}\u{202e}\u{2028}é";

        let line = logged(reason);

        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.trim_end().chars().all(is_plain), "{line:?}");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["image"], reason);
        assert_eq!(line["message"], format!("Gave up: {reason}"));
        assert_eq!(line["level"], "ERROR");
    }

    #[test]
    fn a_text_of_a_megabyte_is_cut_and_the_line_stays_json() {
        let line = logged(&"é".repeat(1 << 20));

        assert!(line.len() < LONGEST_LINE && line.ends_with("}\n"), "{} bytes", line.len());
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["message"].as_str().unwrap().starts_with("Gave up: éé"));
        assert_eq!(line["level"], "ERROR");
    }
}
