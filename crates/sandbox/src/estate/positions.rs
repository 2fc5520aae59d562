//! Where each node of a YAML document stands, so that a fault of meaning can be shown in its line.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser};

/// Path (`machines[2].image`) to line and column, each starting at 1.
pub(super) type Positions = BTreeMap<String, (usize, usize)>;

/// A collection that is open while the document is read.
enum Open {
    Sequence { path: String, index: usize },
    Mapping { path: String, key: Option<String> },
}

/// The positions of every node; those before the first fault when `text` is not YAML.
pub(super) fn of(text: &str) -> Positions {
    let mut positions = Positions::new();
    let mut open: Vec<Open> = Vec::new();
    let mut parser = Parser::new_from_str(text);

    while let Some(Ok((event, span))) = parser.next_event() {
        let at = (span.start.line(), span.start.col() + 1);
        match event {
            Event::Scalar(value, ..) => {
                if let Some(Open::Mapping { key: key @ None, .. }) = open.last_mut() {
                    *key = Some(value.to_string());
                    continue;
                }
                positions.insert(next_path(&mut open), at);
            }
            Event::Alias(..) => {
                positions.insert(next_path(&mut open), at);
            }
            Event::SequenceStart(..) => {
                let path = next_path(&mut open);
                positions.insert(path.clone(), at);
                open.push(Open::Sequence { path, index: 0 });
            }
            Event::MappingStart(..) => {
                let path = next_path(&mut open);
                positions.insert(path.clone(), at);
                open.push(Open::Mapping { path, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
            }
            _ => {}
        }
    }
    positions
}

/// The position of `path`, or of the nearest node around it.
pub(super) fn nearest(positions: &Positions, path: &str) -> (usize, usize) {
    let mut path = path;
    loop {
        if let Some(at) = positions.get(path) {
            return *at;
        }
        let Some(cut) = path.rfind(['.', '[']) else { return (0, 0) };
        path = &path[..cut];
    }
}

/// The path of the node that comes next inside the innermost open collection.
fn next_path(open: &mut [Open]) -> String {
    match open.last_mut() {
        None => String::new(),
        Some(Open::Sequence { path, index }) => {
            let path = format!("{path}[{index}]");
            *index += 1;
            path
        }
        Some(Open::Mapping { path, key }) => {
            let key = key.take().unwrap_or_default();
            if path.is_empty() { key } else { format!("{path}.{key}") }
        }
    }
}
