//! The API version of each namespace, and those that we fall back to where a cloud lacks it. Each
//! newest one is the newest stable one in Microsoft's specifications (azure-rest-api-specs) in autumn
//! 2026; what we send and read is the same in all that are named here.

/// Microsoft.VirtualMachineImages; imagebuilder.json, stable/2025-10-01.
pub(crate) const IMAGE_BUILDER: &str = "2025-10-01";

/// Microsoft.Compute/galleries and below; GalleryRP.json, stable/2026-03-03.
pub(crate) const GALLERIES: &str = "2026-03-03";

/// Microsoft.Compute platform images and scale sets; ComputeRP, stable/2026-04-01.
pub(crate) const COMPUTE: &str = "2026-04-01";

/// Microsoft.ResourceGraph; resourcegraph.json, stable/2024-04-01.
pub(crate) const RESOURCE_GRAPH: &str = "2024-04-01";

/// Microsoft.Resources; resources.json, stable/2025-04-01.
pub(crate) const RESOURCES: &str = "2025-04-01";

/// The name of the query's parameter.
const PARAMETER: &str = "api-version=";

/// The api-versions that we speak where `newest` is our first choice, the newest first. Sovereign
/// clouds get them later. With all of them a definition says its generation and security type, and
/// soft-deleted versions are listed; we never bypass the soft deletion, which older ones cannot.
fn spoken(newest: &str) -> &'static [&'static str] {
    match newest {
        IMAGE_BUILDER => &[IMAGE_BUILDER, "2024-02-01"],
        GALLERIES => &[GALLERIES, "2025-03-03"],
        COMPUTE => &[COMPUTE, "2025-11-01", "2024-11-01"],
        RESOURCE_GRAPH => &[RESOURCE_GRAPH, "2021-03-01"],
        RESOURCES => &[RESOURCES, "2022-09-01"],
        _ => &[],
    }
}

/// The api-version that `path` asks for.
fn asked(path: &str) -> Option<&str> {
    let (_, after) = path.split_once(PARAMETER)?;
    after.split('&').next()
}

/// The api-versions that we speak of what `path` is about.
pub(crate) fn spoken_of(path: &str) -> &'static [&'static str] {
    asked(path).map_or(&[], spoken)
}

/// `path` with the newest of the `offered` api-versions that we speak; nothing when there is none,
/// or when it was the one that was asked for.
pub(crate) fn fall_back(path: &str, offered: &[String]) -> Option<String> {
    let asked = asked(path)?;
    let older = spoken(asked).iter().find(|it| offered.iter().any(|offer| offer == *it))?;
    let replaced = path.replacen(&format!("{PARAMETER}{asked}"), &format!("{PARAMETER}{older}"), 1);
    (*older != asked).then_some(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(versions: &[&str]) -> Vec<String> {
        versions.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_newest_that_both_speak_is_asked_for() {
        let path = "/x/versions/1.0.0?$expand=ReplicationStatus&api-version=2026-03-03";

        let back = fall_back(path, &offered(&["2018-06-01", "2025-03-03", "2025-12-03"]));

        let expected = "/x/versions/1.0.0?$expand=ReplicationStatus&api-version=2025-03-03";
        assert_eq!(back.as_deref(), Some(expected));
        assert_eq!(
            fall_back("/x?api-version=2026-04-01&a=b", &offered(&["2024-11-01"])).as_deref(),
            Some("/x?api-version=2024-11-01&a=b")
        );
    }

    #[test]
    fn nothing_in_common_is_no_fall_back() {
        let path = "/x?api-version=2025-10-01";

        assert_eq!(fall_back(path, &offered(&["2022-07-01", "2024-02-01-preview"])), None);
        assert_eq!(fall_back(path, &offered(&["2025-10-01"])), None, "it was asked for already");
        assert_eq!(fall_back(path, &[]), None);
        assert_eq!(fall_back("/x?api-version=1999-01-01", &offered(&["1999-01-01"])), None);
        assert_eq!(fall_back("/x", &offered(&["2025-10-01"])), None);
    }
}
