//! `goldsmith schema`: the JSON Schema of a catalog or an estate, for editors. They are the ones that
//! `check` checks against.

use std::io;

use rules::catalog::Catalog;
use sandbox::estate::Estate;
use schemars::Schema;
use serde_json::Value;

use crate::terminal::{Exit, Terminal};
use crate::text_form::TEXT_FORMS;

/// The arguments of `goldsmith schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
examples:\n  \
    goldsmith schema > catalog.schema.json\n  \
    goldsmith schema estate > estate.schema.json\n\n\
then begin the catalog with this line, for completion in an editor:\n  \
    # yaml-language-server: $schema=./catalog.schema.json")]
pub struct SchemaArgs {
    /// What is to be described.
    #[arg(value_enum, default_value_t = Described::Catalog, value_name = "WHAT")]
    pub what: Described,
}

/// A kind of file that people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Described {
    /// Which images there are and how each is treated.
    Catalog,
    /// What the simulated Azure holds at the start, and what will happen to it.
    Estate,
}

/// Prints a schema.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &SchemaArgs, terminal: &mut Terminal) -> io::Result<Exit> {
    let schema = match args.what {
        Described::Catalog => catalog(),
        Described::Estate => estate(),
    };
    terminal.print(&format!("{schema:#}\n"))?;
    Ok(Exit::Done)
}

/// The JSON Schema (draft 2020-12) of a whole catalog, with what every field means.
pub fn catalog() -> Value {
    with_forms(schemars::schema_for!(Catalog))
}

/// The JSON Schema (draft 2020-12) of an estate, with what every field means.
pub fn estate() -> Value {
    with_forms(schemars::schema_for!(Estate))
}

fn with_forms(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    for form in TEXT_FORMS {
        let path = format!("/$defs/{}", form.definition);
        if let Some(definition) = schema.pointer_mut(&path).and_then(Value::as_object_mut) {
            definition.insert("format".to_owned(), form.format.into());
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_are_themselves_valid() {
        for (schema, title) in [(catalog(), "Catalog"), (estate(), "Estate")] {
            assert!(jsonschema::meta::is_valid(&schema));
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            assert_eq!(schema["title"], title);
            assert!(schema.get("$id").is_none());
        }
    }

    #[test]
    fn every_form_of_text_is_used_by_a_schema() {
        let text = catalog().to_string() + &estate().to_string();

        for form in TEXT_FORMS {
            assert!(text.contains(&format!(r#""format":"{}""#, form.format)), "{}", form.format);
        }
    }

    #[test]
    fn every_object_of_a_catalog_refuses_unknown_fields() {
        let schema = catalog();
        let objects = schema["$defs"].as_object().unwrap().iter().filter(|(_, it)| {
            it.get("properties").is_some() && it.get("additionalProperties") != Some(&false.into())
        });

        assert_eq!(objects.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn digests_are_not_for_people_to_write() {
        assert!(!catalog().to_string().contains("sha256"));
    }
}
