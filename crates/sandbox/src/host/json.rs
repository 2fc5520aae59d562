//! JSON whose objects keep the order of their members, as Json.NET's do. `serde_json` sorts them,
//! and its feature that does not would change every other crate of the workspace with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Json {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Members),
}

/// The members of an object, in their order; of a name that comes twice the later value counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Members(pub(super) Vec<(String, Json)>);

impl Members {
    /// The value of the member `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Sets a member; a new one is the last.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, there)) => *there = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The same with one more member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Json>) -> Members {
        self.put(name, value);
        self
    }
}

/// Compact, and escaped as Json.NET escapes it.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return f.write_str(&text);
        }
        // They can only be inside a string, where JavaScript takes them for the end of a line.
        let text = text.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028");
        f.write_str(&text.replace('\u{2029}', "\\u2029"))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Text(text)
    }
}

impl From<Option<&String>> for Json {
    fn from(text: Option<&String>) -> Json {
        text.map_or(Json::Null, |text| Json::Text(text.clone()))
    }
}

impl From<bool> for Json {
    fn from(flag: bool) -> Json {
        Json::Flag(flag)
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Json {
        Json::Number(number.into())
    }
}

impl From<Members> for Json {
    fn from(members: Members) -> Json {
        Json::Object(members)
    }
}

impl From<Vec<Json>> for Json {
    fn from(values: Vec<Json>) -> Json {
        Json::List(values)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    members.put(&name, value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_values() {
        let text = r#"{"z":1,"a":[true,null,{"y":"é","b":-2.5}],"m":{}}"#;

        assert_eq!(serde_json::from_str::<Json>(text).unwrap().to_string(), text);
    }

    #[test]
    fn of_a_name_that_comes_twice_the_later_value_counts() {
        let json: Json = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();

        assert_eq!(json.to_string(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn what_ends_a_line_in_javascript_is_escaped() {
        assert_eq!(Json::from("a\u{2028}\u{85}\u{1}").to_string(), r#""a\u2028\u0085\u0001""#);
    }
}
