//! The package as the Functions host reads it: `host.json` and one `function.json` per function.
//! They are inside the command too, so that `goldsmith up` hosts the very files that ship.

/// The settings of the host, `host.json` at the top of the repository.
pub const HOST_JSON: &str = include_str!("../host.json");

/// Every function: its name, which is its folder's, and its `function.json`; in lifecycle order.
pub fn functions() -> [(&'static str, &'static str); 20] {
    [
        ("find_due_images", include_str!("find_due_images/function.json")),
        ("watch_base_images", include_str!("watch_base_images/function.json")),
        ("receive_events", include_str!("receive_events/function.json")),
        ("api", include_str!("api/function.json")),
        ("create_template", include_str!("create_template/function.json")),
        ("start_build", include_str!("start_build/function.json")),
        ("follow_build", include_str!("follow_build/function.json")),
        ("start_scan", include_str!("start_scan/function.json")),
        ("follow_scan", include_str!("follow_scan/function.json")),
        ("judge_image", include_str!("judge_image/function.json")),
        ("replicate_version", include_str!("replicate_version/function.json")),
        ("release_version", include_str!("release_version/function.json")),
        ("follow_version", include_str!("follow_version/function.json")),
        ("tidy_build", include_str!("tidy_build/function.json")),
        ("deprecate_version", include_str!("deprecate_version/function.json")),
        ("trim_version", include_str!("trim_version/function.json")),
        ("delete_version", include_str!("delete_version/function.json")),
        ("find_expired_versions", include_str!("find_expired_versions/function.json")),
        ("look_again", include_str!("look_again/function.json")),
        ("notify", include_str!("notify/function.json")),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_folder_with_a_function_json_is_packaged_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = BTreeMap::new();
        for entry in std::fs::read_dir(root).unwrap() {
            let folder = entry.unwrap();
            if let Ok(text) = std::fs::read_to_string(folder.path().join("function.json")) {
                folders.insert(folder.file_name().into_string().unwrap(), text);
            }
        }

        let packaged = functions().map(|(name, text)| (name.to_owned(), text.to_owned()));

        assert_eq!(BTreeMap::from(packaged), folders);
    }
}
