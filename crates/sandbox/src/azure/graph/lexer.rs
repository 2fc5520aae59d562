//! A query of Resource Graph, cut into words.

/// A word of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, an operator that is a word, or a number's digits: `where`, `in~`, `project-away`.
    Name(String),
    Text(String),
    Number(i64),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
    /// Counted from 0, as Resource Graph counts.
    pub(super) column: usize,
}

/// Where a query cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) token: String,
    pub(super) expected: String,
}

/// Longer signs stand before shorter ones that they begin with.
const SIGNS: [&str; 18] = [
    "!~", "=~", "==", "!=", "<=", ">=", "<", ">", "=", "|", ",", "(", ")", "[", "]", ".", "*", "-",
];

/// Names that go on behind a sign: `in~`, `!in`, `!has`, `project-away`.
const JOINED: [&str; 12] = [
    "!contains",
    "!startswith",
    "!endswith",
    "!has",
    "!in~",
    "!in",
    "in~",
    "project-away",
    "project-rename",
    "project-keep",
    "project-reorder",
    "mv-expand",
];

/// Cuts `query` into words. Comments (`//`) are dropped.
pub(super) fn words(query: &str) -> Result<Vec<Placed>, Unreadable> {
    let mut words = Vec::new();
    for (index, line) in query.lines().enumerate() {
        let mut column = 0;
        while column < line.len() {
            let rest = &line[column..];
            let Some(first) = rest.chars().next() else { break };
            if first.is_whitespace() {
                column += first.len_utf8();
                continue;
            }
            if rest.starts_with("//") {
                break;
            }
            let (token, length) = word(rest).ok_or_else(|| Unreadable {
                line: index + 1,
                column,
                token: first.to_string(),
                expected: "a name, a text, a number or an operator".to_owned(),
            })?;
            words.push(Placed { token, line: index + 1, column });
            column += length;
        }
    }
    Ok(words)
}

fn word(rest: &str) -> Option<(Token, usize)> {
    for joined in JOINED {
        let Some((begins, ends)) = rest.split_at_checked(joined.len()) else { continue };
        let whole = !ends.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_');
        if begins.eq_ignore_ascii_case(joined) && whole {
            return Some((Token::Name(joined.to_owned()), joined.len()));
        }
    }
    let first = rest.chars().next()?;
    if first == '\'' || first == '"' {
        return text(rest, first, false);
    }
    if first == '@' {
        let quote = rest[1..].chars().next().filter(|it| *it == '\'' || *it == '"')?;
        let (token, length) = text(&rest[1..], quote, true)?;
        return Some((token, length + 1));
    }
    if first.is_ascii_digit() {
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        return Some((Token::Number(rest[..end].parse().ok()?), end));
    }
    if first.is_ascii_alphabetic() || first == '_' || first == '$' {
        let part = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '$';
        let end = rest.find(|it| !part(it)).unwrap_or(rest.len());
        return Some((Token::Name(rest[..end].to_owned()), end));
    }
    let sign = SIGNS.iter().find(|it| rest.starts_with(**it))?;
    Some((Token::Sign(sign), sign.len()))
}

/// A text in quotes; `verbatim` knows no escapes but the doubled quote.
fn text(rest: &str, quote: char, verbatim: bool) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, it)) = chars.next() {
        if it == '\\' && !verbatim {
            let (_, escaped) = chars.next()?;
            value.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            });
            continue;
        }
        if it != quote {
            value.push(it);
            continue;
        }
        if verbatim && chars.peek().is_some_and(|next| next.1 == quote) {
            chars.next();
            value.push(quote);
            continue;
        }
        return Some((Token::Text(value), index + 1));
    }
    None
}
