//! Where things are in the store.

use object_store::path::Path;
use rules::CatalogName;

use crate::StreamName;

/// The folder of a catalog's streams.
pub(crate) fn catalog(catalog: &CatalogName) -> Path {
    Path::from_iter(["ledger", catalog.as_str()])
}

/// The folder of a stream.
pub(crate) fn stream(catalog: &CatalogName, stream: &StreamName) -> Path {
    Path::from_iter(["ledger", catalog.as_str(), stream.as_str()])
}

/// The place of entry `seq`.
pub(crate) fn entry(catalog: &CatalogName, stream: &StreamName, seq: u64) -> Path {
    let file = format!("{seq:010}.json");
    Path::from_iter(["ledger", catalog.as_str(), stream.as_str(), file.as_str()])
}

/// The number of the entry at `key`; nothing for what is not an entry.
pub(crate) fn seq(key: &Path) -> Option<u64> {
    let digits = key.filename()?.strip_suffix(".json")?;
    let all_digits = digits.len() >= 10 && digits.bytes().all(|it| it.is_ascii_digit());
    let seq = digits.parse().ok().filter(|_| all_digits)?;
    (seq > 0 && format!("{seq:010}") == digits).then_some(seq)
}

/// The snapshot of a stream.
pub(crate) fn snapshot(catalog: &CatalogName, stream: &StreamName) -> Path {
    let file = format!("{stream}.json");
    Path::from_iter(["heads", catalog.as_str(), file.as_str()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_at_its_ten_digits_and_nothing_else_is_one() {
        let catalog = "main".parse().unwrap();
        let web = StreamName::Image("web".parse().unwrap());

        let key = entry(&catalog, &web, 42);

        assert_eq!(key.as_ref(), "ledger/main/web/0000000042.json");
        assert_eq!(seq(&key), Some(42));
        for name in
            ["42.json", "0000000000.json", "00000000042.json", "000000004x.json", "head.json"]
        {
            assert_eq!(seq(&Path::from(name)), None, "{name}");
        }
        assert_eq!(seq(&entry(&catalog, &StreamName::Catalog, u64::MAX)), Some(u64::MAX));
    }
}
