//! Resource ids. Azure changes the case of almost every part of them between answers, so an id is
//! parsed by its parts and compared without regard to case.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rules::VersionNumber;

/// A resource group.
#[derive(Clone, Debug)]
pub struct GroupId {
    pub subscription: String,
    pub name: String,
}

/// A gallery.
#[derive(Clone, Debug)]
pub struct GalleryId {
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
}

/// An image definition of a gallery.
#[derive(Clone, Debug)]
pub struct DefinitionId {
    pub gallery: GalleryId,
    pub name: String,
}

/// A version of an image definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionId {
    pub definition: DefinitionId,
    pub number: VersionNumber,
}

/// An image template.
#[derive(Clone, Debug)]
pub struct TemplateId {
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
}

/// A text that is not the id of what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the id of {what}; write it as `{like}`")]
pub struct IdError {
    text: String,
    what: &'static str,
    like: &'static str,
}

/// What stands unescaped in a path: RFC 3986's unreserved characters, and the parentheses that a
/// resource group's name may have.
const IN_A_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'(').remove(b')');

/// `text` as one segment of a path, or as a value in a query.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, IN_A_SEGMENT).to_string()
}

/// `id` as a path, each of its segments escaped.
pub(crate) fn path(id: &str) -> String {
    id.split('/').map(escaped).collect::<Vec<_>>().join("/")
}

impl GroupId {
    /// The group `name` of `subscription`.
    pub fn new(subscription: &str, name: &str) -> GroupId {
        GroupId { subscription: subscription.to_owned(), name: name.to_owned() }
    }
}

impl GalleryId {
    /// The gallery `name`.
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> GalleryId {
        GalleryId {
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The definition `name` of this gallery.
    pub fn definition(&self, name: &str) -> DefinitionId {
        DefinitionId { gallery: self.clone(), name: name.to_owned() }
    }
}

impl From<&rules::catalog::Gallery> for GalleryId {
    fn from(gallery: &rules::catalog::Gallery) -> GalleryId {
        GalleryId::new(&gallery.subscription, &gallery.resource_group, &gallery.name)
    }
}

impl DefinitionId {
    /// The version `number` of this definition.
    pub fn version(&self, number: VersionNumber) -> VersionId {
        VersionId { definition: self.clone(), number }
    }
}

impl TemplateId {
    /// The template `name`.
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> TemplateId {
        TemplateId {
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// The values after `keys`, where `id` has these keys, in this order, and nothing else.
fn parts<'a, const N: usize>(id: &'a str, keys: [&str; N]) -> Option<[&'a str; N]> {
    let mut values = [""; N];
    let mut segments = id.strip_prefix('/')?.split('/');
    for (key, value) in keys.iter().zip(&mut values) {
        if !segments.next()?.eq_ignore_ascii_case(key) {
            return None;
        }
        *value = segments.next().filter(|it| !it.is_empty())?;
    }
    segments.next().is_none().then_some(values)
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<GroupId, IdError> {
        let Some([subscription, name]) = parts(text, ["subscriptions", "resourceGroups"]) else {
            return Err(wrong(text, "a resource group", "/subscriptions/…/resourceGroups/…"));
        };
        Ok(GroupId::new(subscription, name))
    }
}

impl FromStr for VersionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<VersionId, IdError> {
        let error = || {
            let like = "/subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/galleries/…/images/…/versions/1.2.3";
            wrong(text, "a version", like)
        };
        let keys =
            ["subscriptions", "resourceGroups", "providers", "galleries", "images", "versions"];
        let [subscription, group, provider, gallery, definition, number] =
            parts(text, keys).ok_or_else(error)?;
        if !provider.eq_ignore_ascii_case("Microsoft.Compute") {
            return Err(error());
        }
        let number = number.parse().map_err(|_| error())?;
        Ok(GalleryId::new(subscription, group, gallery).definition(definition).version(number))
    }
}

fn wrong(text: &str, what: &'static str, like: &'static str) -> IdError {
    IdError { text: crate::readable::readable(text, 300), what, like }
}

impl PartialEq for GroupId {
    fn eq(&self, other: &GroupId) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }
}

impl Eq for GroupId {}

impl PartialEq for GalleryId {
    fn eq(&self, other: &GalleryId) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }
}

impl Eq for GalleryId {}

impl PartialEq for DefinitionId {
    fn eq(&self, other: &DefinitionId) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }
}

impl Eq for DefinitionId {}

impl PartialEq for TemplateId {
    fn eq(&self, other: &TemplateId) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }
}

impl Eq for TemplateId {}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}/resourceGroups/{}", self.subscription, self.name)
    }
}

impl fmt::Display for GalleryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GalleryId { subscription, resource_group, name } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Compute/galleries/{name}"
        )
    }
}

impl fmt::Display for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/images/{}", self.gallery, self.name)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.definition, self.number)
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TemplateId { subscription, resource_group, name } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0";

    #[test]
    fn an_id_reads_back_as_it_is_written() {
        let id: VersionId = VERSION.parse().unwrap();

        assert_eq!(id.to_string(), VERSION);
        assert_eq!(id.definition.gallery, GalleryId::new("s", "rg", "g"));
    }

    #[test]
    fn an_id_in_another_case_is_the_same_resource() {
        let id: VersionId = "/Subscriptions/s/resourcegroups/RG/Providers/microsoft.compute/Galleries/G/Images/i/Versions/1.0.0".parse().unwrap();

        assert_eq!(id.definition.gallery, GalleryId::new("s", "rg", "g"));
        assert_eq!("/subscriptions/S/resourcegroups/x".parse(), Ok(GroupId::new("s", "X")));
    }

    #[test]
    fn what_is_not_a_version_is_refused() {
        for text in [
            "",
            "1.0.0",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/latest",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/galleries/g/images/i/versions/1.0.0",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0/x",
            "/subscriptions//resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0",
        ] {
            assert!(text.parse::<VersionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_in_a_name_can_leave_its_segment() {
        assert_eq!(path("/a b/c?d/e#f/(g)_h-i.j"), "/a%20b/c%3Fd/e%23f/(g)_h-i.j");
    }
}
