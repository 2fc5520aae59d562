//! What a machine, a scale set, a template or a version of the estate is made from, as it is
//! written there.

use super::{Definition, Estate, Gallery, PlatformImage};

/// A reference to an image, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `publisher:offer:sku:version`; the version may be `latest`.
    Platform { publisher: String, offer: String, sku: String, version: String },
    /// `gallery/definition[/version]`, as the resource id of the definition.
    Gallery { definition_id: String, version: Option<String> },
    /// A whole resource id, of whatever kind: also of a shared or a community gallery.
    Resource(String),
}

/// Resolves `text` within `estate`.
///
/// # Errors
/// What is wrong with it, and how it is written.
pub(crate) fn resolve(estate: &Estate, text: &str) -> Result<Reference, String> {
    if text.starts_with('/') {
        return Ok(Reference::Resource(text.to_owned()));
    }
    if text.contains(':') {
        return platform(estate, text);
    }

    let parts: Vec<&str> = text.split('/').collect();
    let (gallery_name, definition_name, version) = match parts.as_slice() {
        [gallery, definition] => (*gallery, *definition, None),
        [gallery, definition, version] => (*gallery, *definition, Some(*version)),
        _ => {
            return Err(format!(
                "`{text}` is not an image; write `gallery/definition`, \
                 `gallery/definition/version`, `publisher:offer:sku:version` or a resource id"
            ));
        }
    };
    let Some((gallery, definition)) = find(estate, gallery_name, definition_name) else {
        return Err(format!(
            "there is no definition `{definition_name}` in a gallery `{gallery_name}`; \
             add it under `galleries` or mend the name"
        ));
    };
    if let Some(version) = version
        && !definition.versions.iter().any(|it| it.number == version)
    {
        return Err(format!(
            "`{definition_name}` has no version `{version}`; add it under `galleries` or write the \
             whole resource id of a version that is gone"
        ));
    }
    let definition_id = definition_id(gallery, definition);
    Ok(Reference::Gallery { definition_id, version: version.map(str::to_owned) })
}

fn platform(estate: &Estate, text: &str) -> Result<Reference, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [publisher, offer, sku, version] = parts.as_slice() else {
        return Err(format!("`{text}` is not `publisher:offer:sku:version`"));
    };
    let Some(image) = platform_image(estate, publisher, offer, sku) else {
        return Err(format!(
            "there is no image `{publisher}:{offer}:{sku}` under `marketplace`; add it or mend the name"
        ));
    };
    let known = *version == "latest" || image.versions.iter().any(|it| it.version == *version);
    if !known {
        return Err(format!("`{publisher}:{offer}:{sku}` has no version `{version}`"));
    }
    Ok(Reference::Platform {
        publisher: image.publisher.clone(),
        offer: image.offer.clone(),
        sku: image.sku.clone(),
        version: (*version).to_owned(),
    })
}

/// The Marketplace image of that publisher, offer and sku, in any letter case.
pub(crate) fn platform_image<'a>(
    estate: &'a Estate,
    publisher: &str,
    offer: &str,
    sku: &str,
) -> Option<&'a PlatformImage> {
    estate.marketplace.iter().find(|it| {
        it.publisher.eq_ignore_ascii_case(publisher)
            && it.offer.eq_ignore_ascii_case(offer)
            && it.sku.eq_ignore_ascii_case(sku)
    })
}

fn find<'a>(
    estate: &'a Estate,
    gallery: &str,
    definition: &str,
) -> Option<(&'a Gallery, &'a Definition)> {
    let gallery = estate.galleries.iter().find(|it| it.name.eq_ignore_ascii_case(gallery))?;
    let definition =
        gallery.definitions.iter().find(|it| it.name.eq_ignore_ascii_case(definition))?;
    Some((gallery, definition))
}

/// The resource id of a gallery.
pub(crate) fn gallery_id(gallery: &Gallery) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/galleries/{}",
        gallery.subscription, gallery.resource_group, gallery.name
    )
}

/// The resource id of an image definition.
pub(crate) fn definition_id(gallery: &Gallery, definition: &Definition) -> String {
    format!("{}/images/{}", gallery_id(gallery), definition.name)
}
