//! `List Blobs`: one page of a container's keys, as XML.
//! <https://learn.microsoft.com/rest/api/storageservices/list-blobs>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use chrono::{DateTime, Utc};

use super::place::{Container, Name, Place};

/// The most entries of a page.
const LARGEST_PAGE: usize = 5000;

/// What of a container is asked for.
#[derive(Debug, Default)]
pub(super) struct Listing {
    prefix: String,
    delimiter: Option<String>,
    /// Where this page starts: the last answer's marker, or `startFrom`; both are inclusive.
    from: String,
    page: usize,
}

impl Listing {
    /// Reads the query of the request; an error says which parameter is wrong.
    pub(super) fn read(query: &BTreeMap<String, String>) -> Result<Listing, &'static str> {
        let text = |name: &str| query.get(name).filter(|it| !it.is_empty()).cloned();
        let page = match text("maxresults").map(|it| it.parse::<usize>()) {
            None => LARGEST_PAGE,
            Some(Ok(page @ 1..)) => page.min(LARGEST_PAGE),
            Some(_) => return Err("maxresults"),
        };
        Ok(Listing {
            prefix: text("prefix").unwrap_or_default(),
            delimiter: text("delimiter"),
            from: text("marker").or_else(|| text("startfrom")).unwrap_or_default(),
            page,
        })
    }

    /// The page as XML.
    pub(super) fn answer(
        &self,
        place: &Place,
        container: &Container,
        endpoint: &str,
    ) -> io::Result<String> {
        let mut entries = String::new();
        let mut number = 0;
        let mut next = None;
        let mut folder: Option<String> = None;

        for key in place.keys(container, &self.prefix)? {
            if folder.as_ref().is_some_and(|folder| key.starts_with(folder.as_str())) {
                continue;
            }
            let common = self.common_prefix(&key);
            let entry = common.as_deref().unwrap_or(&key);
            if entry < self.from.as_str() {
                continue;
            }
            if number == self.page {
                next = Some(entry.to_owned());
                break;
            }
            match &common {
                Some(prefix) => write_prefix(&mut entries, prefix),
                None => {
                    let name = Name::checked(&container.account, &container.name, &key)?;
                    // One that was deleted meanwhile is not listed.
                    let Some(facts) = place.facts(&name)? else { continue };
                    write_blob(&mut entries, &key, facts.size, &facts.etag, facts.modified);
                }
            }
            number += 1;
            folder = common;
        }

        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
        let _ = write!(
            xml,
            "<EnumerationResults ServiceEndpoint=\"{}/\" ContainerName=\"{}\">\
             <Prefix>{}</Prefix><MaxResults>{}</MaxResults>",
            escape(endpoint),
            escape(&container.name),
            escape(&self.prefix),
            self.page
        );
        if let Some(delimiter) = &self.delimiter {
            let _ = write!(xml, "<Delimiter>{}</Delimiter>", escape(delimiter));
        }
        let _ = write!(
            xml,
            "<Blobs>{entries}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
            escape(&next.unwrap_or_default())
        );
        Ok(xml)
    }

    /// The key up to the first delimiter after the prefix.
    fn common_prefix(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = &key[self.prefix.len()..];
        let end = rest.find(delimiter)? + delimiter.len();
        Some(key[..self.prefix.len() + end].to_owned())
    }
}

fn write_prefix(xml: &mut String, prefix: &str) {
    let _ = write!(xml, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escape(prefix));
}

fn write_blob(xml: &mut String, key: &str, size: u64, etag: &str, modified: DateTime<Utc>) {
    let _ = write!(
        xml,
        "<Blob><Name>{}</Name><Properties><Creation-Time>{modified}</Creation-Time>\
         <Last-Modified>{modified}</Last-Modified><Etag>{}</Etag>\
         <Content-Length>{size}</Content-Length>\
         <Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>\
         <LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>\
         </Properties></Blob>",
        escape(key),
        etag.trim_matches('"'),
        modified = super::routes::rfc1123(modified),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
