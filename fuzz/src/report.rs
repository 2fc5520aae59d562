//! Scan reports, from a machine that ran somebody's scripts.

pub(crate) fn report(bytes: &[u8]) {
    let read = match reports::read(bytes) {
        Ok(read) => read,
        Err(error) => return is_plain(&error.to_string()),
    };
    assert!(read.findings.len() <= bytes.len(), "more findings than bytes");
    for finding in &read.findings {
        [&finding.id, &finding.package, &finding.installed].into_iter().for_each(|it| is_plain(it));
    }
    is_plain(&read.scanner);
}

/// Fit for a log, a terminal and an event.
fn is_plain(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 10_000, "{} bytes", text.len());
}
