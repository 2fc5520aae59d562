//! The shapes that Azure demands of names and ids. Each check answers with the rule that is
//! broken, for a person to follow.

/// A GUID in its usual form.
pub(super) fn guid(text: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths_fit = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
    let digits_fit = parts.iter().all(|part| part.bytes().all(|it| it.is_ascii_hexdigit()));
    demand(
        lengths_fit && digits_fit,
        "write the subscription's id, such as `6f9619ff-8b86-4d11-b42d-00c04fc964ff`",
    )
}

/// The name of a resource group.
pub(super) fn resource_group(text: &str) -> Result<(), &'static str> {
    let inner = |it: char| it.is_alphanumeric() || "-_.()".contains(it);
    demand(
        (1..=90).contains(&text.chars().count()) && text.chars().all(inner) && !text.ends_with('.'),
        "a resource group has 1 to 90 letters, digits, `-`, `_`, `.`, `(` or `)`, and no `.` at \
         its end",
    )
}

/// The name of a management group.
pub(super) fn management_group(text: &str) -> Result<(), &'static str> {
    let inner = |it: u8| it.is_ascii_alphanumeric() || b"-_.()".contains(&it);
    demand(
        (1..=90).contains(&text.len()) && text.bytes().all(inner) && !text.ends_with('.'),
        "write the management group's id: 1 to 90 letters, digits, `-`, `_`, `.`, `(` or `)`, \
         and no `.` at its end",
    )
}

/// The name of a gallery, by the stricter of the two rules that Microsoft publishes.
pub(super) fn gallery(text: &str) -> Result<(), &'static str> {
    let inner = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'.';
    let edge = |it: Option<&u8>| it.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    demand(
        bytes.len() <= 80
            && bytes.iter().all(|it| inner(*it))
            && edge(bytes.first())
            && edge(bytes.last()),
        "a gallery has 1 to 80 letters, digits, `_` or `.`, no dashes, and a letter or digit at \
         both ends",
    )
}

/// The publisher, at most 128 characters long, of an identifier.
pub(super) fn publisher(text: &str) -> Result<(), &'static str> {
    demand(
        identifier(text, 128),
        "a publisher has 1 to 128 letters, digits, `-`, `_` or `.`, a letter or digit first, and \
         no `-` or `.` at its end",
    )
}

/// The offer or the SKU, at most 64 characters long, of an identifier.
pub(super) fn offer_or_sku(text: &str) -> Result<(), &'static str> {
    demand(
        identifier(text, 64),
        "an offer or SKU has 1 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first, \
         and no `-` or `.` at its end",
    )
}

fn identifier(text: &str, longest: usize) -> bool {
    let inner = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    let first = text.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric());
    first && text.len() <= longest && text.bytes().all(inner) && !text.ends_with(['-', '.'])
}

/// The resource id of a user-assigned identity.
pub(super) fn identity(text: &str) -> Result<(), &'static str> {
    demand(
        resource_id(text, &["microsoft.managedidentity", "userassignedidentities", "*"]),
        "write the resource id of a user-assigned identity: `/subscriptions/…/resourceGroups/…/\
         providers/Microsoft.ManagedIdentity/userAssignedIdentities/…`",
    )
}

/// The resource id of a subnet.
pub(super) fn subnet(text: &str) -> Result<(), &'static str> {
    demand(
        resource_id(text, &["microsoft.network", "virtualnetworks", "*", "subnets", "*"]),
        "write the resource id of a subnet: `/subscriptions/…/resourceGroups/…/providers/\
         Microsoft.Network/virtualNetworks/…/subnets/…`",
    )
}

/// Whether `text` is a resource id whose part after `providers` is `kind`; `*` is any name.
fn resource_id(text: &str, kind: &[&str]) -> bool {
    let Some(path) = text.strip_prefix('/') else { return false };
    let parts: Vec<&str> = path.split('/').collect();
    let [subscriptions, subscription, groups, group, providers, rest @ ..] = parts.as_slice()
    else {
        return false;
    };
    let fits = |(part, wanted): (&&str, &&str)| match *wanted {
        "*" => !part.is_empty() && !part.contains(char::is_whitespace),
        wanted => part.eq_ignore_ascii_case(wanted),
    };
    subscriptions.eq_ignore_ascii_case("subscriptions")
        && guid(subscription).is_ok()
        && groups.eq_ignore_ascii_case("resourceGroups")
        && resource_group(group).is_ok()
        && providers.eq_ignore_ascii_case("providers")
        && rest.len() == kind.len()
        && rest.iter().zip(kind).all(fits)
}

/// The size of a virtual machine.
pub(super) fn vm_size(text: &str) -> Result<(), &'static str> {
    let inner = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
    let known = text.starts_with("Standard_") || text.starts_with("Basic_");
    demand(
        known && text.len() <= 64 && text.bytes().all(inner) && !text.ends_with('_'),
        "write a size as Azure spells it, such as `Standard_D2s_v5`",
    )
}

/// A path in the catalog's folder, with slashes.
pub(super) fn relative_path(text: &str) -> Result<(), &'static str> {
    let inside = !text.trim().is_empty()
        && !text.starts_with('/')
        && !text.contains(['\\', ':', '\0'])
        && text.split('/').all(|part| !part.is_empty() && part != "..");
    demand(
        inside,
        "write a path relative to the catalog's folder, with `/`, that does not leave it",
    )
}

/// An absolute path on Linux.
pub(super) fn linux_path(text: &str) -> Result<(), &'static str> {
    let absolute = text.starts_with('/') && !text.ends_with('/') && !text.contains('\0');
    demand(absolute, "write the absolute path of a file, such as `/etc/motd`")
}

/// An absolute path on Windows.
pub(super) fn windows_path(text: &str) -> Result<(), &'static str> {
    let absolute = match text.as_bytes() {
        [drive, b':', b'\\' | b'/', .., last] => {
            drive.is_ascii_alphabetic() && *last != b'\\' && *last != b'/'
        }
        _ => false,
    };
    demand(absolute, "write the absolute path of a file, such as `C:\\motd.txt`")
}

fn demand(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}
