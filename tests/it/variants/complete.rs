//! Whether each answer that the estate knows is walked under: a new one that is not, fails here.

use std::fs;

use serde_json::Value;

use super::*;

/// What no walk can meet, and why.
const NOT_MET: [(&str, &str, &str); 1] = [(
    "largeMessage",
    "tooLarge",
    "a message of ours is a pointer of a kilobyte at most; the bus's own tests have it",
)];

/// The answers of an enumeration of the schema.
fn answers(schema: &Value) -> Vec<&str> {
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    let described = one_of.flat_map(|it| it["const"].as_str().into_iter().chain(answers(it)));
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    described.chain(plain).collect()
}

/// `lostLock` is `lost_lock`.
fn field(name: &str) -> String {
    let letters = name.chars().flat_map(|it| {
        let before = it.is_ascii_uppercase().then_some('_');
        before.into_iter().chain([it.to_ascii_lowercase()])
    });
    letters.collect()
}

/// `notFound` is `NotFound`.
fn variant(answer: &str) -> String {
    let mut letters = answer.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[test]
fn each_answer_of_each_variant_is_walked() {
    let folder = root().join("tests/it");
    let walks = ["variants.rs", "variants/bus.rs"]
        .map(|it| fs::read_to_string(folder.join(it)).unwrap())
        .concat();
    let schema = schemars::schema_for!(Variants);
    let schema = schema.as_value();
    let default = serde_json::to_value(Variants::default()).unwrap();

    let (mut known, mut missing) = (0, Vec::new());
    for (name, property) in schema["properties"].as_object().unwrap() {
        let kind = property["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        for answer in answers(&schema["$defs"][kind]) {
            known += 1;
            let (field, named) = (field(name), format!("{kind}::{}", variant(answer)));
            // One enumeration answers several questions, so that its name alone says nothing.
            let walked = match kind {
                "Answer" => {
                    walks.contains(&format!("{field} = {named}"))
                        || walks.contains(&format!("{field}: {named}"))
                }
                _ => walks.contains(&named),
            };
            let excused = NOT_MET.iter().any(|it| (it.0, it.1) == (name, answer));
            if !(walked || excused || default[name] == answer) {
                missing.push(format!("{name}: {answer}"));
            }
        }
    }

    assert_eq!(missing, Vec::<String>::new());
    assert!(known >= 40, "{known}");
}
