//! The example catalog and estate inside the command, so that `goldsmith up` works in any folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

const ESTATE: (&str, &[u8]) = ("estate.yaml", include_bytes!("../../../../examples/estate.yaml"));

const CATALOG: [(&str, &[u8]); 8] = [
    ("catalog.yaml", include_bytes!("../../../../examples/catalog/catalog.yaml")),
    ("files/nginx-site.conf", include_bytes!("../../../../examples/catalog/files/nginx-site.conf")),
    (
        "scripts/apt-updates.sh",
        include_bytes!("../../../../examples/catalog/scripts/apt-updates.sh"),
    ),
    (
        "scripts/dnf-updates.sh",
        include_bytes!("../../../../examples/catalog/scripts/dnf-updates.sh"),
    ),
    ("scripts/harden-ssh.sh", include_bytes!("../../../../examples/catalog/scripts/harden-ssh.sh")),
    (
        "scripts/harden-windows.ps1",
        include_bytes!("../../../../examples/catalog/scripts/harden-windows.ps1"),
    ),
    (
        "scripts/install-nginx.sh",
        include_bytes!("../../../../examples/catalog/scripts/install-nginx.sh"),
    ),
    (
        "scripts/install-shop-runtime.sh",
        include_bytes!("../../../../examples/catalog/scripts/install-shop-runtime.sh"),
    ),
];

/// Writes the example catalog below `folder`, and returns where it is.
///
/// # Errors
/// When the folder cannot be written.
pub fn stage_catalog(folder: &Path) -> io::Result<PathBuf> {
    let root = folder.join("catalog");
    for (name, bytes) in CATALOG {
        let file = root.join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, bytes)?;
    }
    Ok(root)
}

/// Writes the example estate below `folder`, and returns where it is.
///
/// # Errors
/// When the folder cannot be written.
pub fn stage_estate(folder: &Path) -> io::Result<PathBuf> {
    let (name, bytes) = ESTATE;
    let file = folder.join(name);
    fs::create_dir_all(folder)?;
    fs::write(&file, bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use crate::load;

    use super::*;

    #[test]
    fn the_staged_example_is_the_one_in_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");

        let staged = load::catalog(&stage_catalog(folder.path()).unwrap()).unwrap();
        let estate = load::estate(&stage_estate(folder.path()).unwrap()).unwrap();

        let written = load::catalog(&examples.join("catalog")).unwrap();
        assert_eq!((staged.catalog, staged.files), (written.catalog, written.files));
        assert_eq!(estate, load::estate(&examples.join("estate.yaml")).unwrap());
    }
}
