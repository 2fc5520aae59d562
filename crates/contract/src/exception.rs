//! What Azure was recorded doing although its documents say otherwise. Nothing else is let through,
//! and each line names the recording that shows it.

use crate::finding::{Finding, What};
use crate::operation::Operation;
use crate::report::Side;

/// One allowed deviation of an answer. No request may deviate.
#[derive(Debug)]
pub struct Exception {
    /// The methods that it holds for; all of them when empty.
    pub methods: &'static [&'static str],
    /// A part of the operation's template, in lower case.
    pub of: &'static str,
    pub what: What,
    /// The end of the finding's place; `*` is any one part.
    pub place: &'static str,
    /// The file in `recordings/`.
    pub recording: &'static str,
    /// What it shows.
    pub shows: &'static str,
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        methods: &[],
        // In a list it is the same resource.
        of: "/imagetemplates",
        what: What::Null,
        place: "properties/distribute/*/versioning",
        recording: "ib_output_versioning.json",
        shows: "versioning was sent, or not, and null is echoed",
    },
    Exception {
        methods: &["PUT", "PATCH", "DELETE", "POST"],
        of: "/imagetemplates/{imagetemplatename}",
        what: What::Header,
        place: "header azure-asyncoperation",
        recording: "ib_create_list_delete.json",
        shows: "each long-running answer of Image Builder has Azure-AsyncOperation",
    },
    Exception {
        methods: &[],
        of: "/galleries/{galleryname}/images/{galleryimagename}/versions",
        what: What::Undeclared,
        place: "properties/validationsProfile/validationOperationStatus",
        recording: "gallery_soft_delete_2026-03-03.json",
        shows: "validationOperationStatus NotExecuted beside the declared members",
    },
    Exception {
        methods: &["PUT", "DELETE", "POST"],
        of: "/galleries/{galleryname}",
        what: What::Header,
        place: "header azure-asyncoperation",
        recording: "gallery_e2e.json",
        shows: "each long-running answer of a gallery has Azure-AsyncOperation",
    },
    Exception {
        methods: &["PUT"],
        of: "/galleries/{galleryname}",
        what: What::HeaderMissing,
        place: "header location",
        recording: "gallery_e2e.json",
        shows: "the answer to a PUT never has the declared Location",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus",
        what: What::Null,
        place: "extendedLocation",
        recording: "platform_images_list.json",
        shows: "extendedLocation null outside edge zones",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus",
        what: What::Undeclared,
        place: "*/properties",
        recording: "platform_images_list.json",
        shows: "each sku says whether its scale sets are upgraded by themselves",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Null,
        place: "properties/imageDeprecationStatus/scheduledDeprecationTime",
        recording: "platform_images_list.json",
        shows: "scheduledDeprecationTime null for what is not deprecated",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/goLiveDate",
        recording: "platform_image_latest_2026.json",
        shows: "goLiveDate, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/replicaType",
        recording: "platform_image_latest_2026.json",
        shows: "replicaType, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/replicaCount",
        recording: "platform_image_latest_2026.json",
        shows: "replicaCount, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions/{version}",
        what: What::Undeclared,
        place: "properties/imageDiscontinuationStatus",
        recording: "platform_image_latest_2026.json",
        shows: "imageDiscontinuationStatus, which came with 2026",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions/{version}",
        what: What::Undeclared,
        place: "properties/osDiskImage/sizeInBytes",
        recording: "platform_image_latest.json",
        shows: "the size of the disk, which the document derived from the SDK leaves out",
    },
    Exception {
        methods: &["POST"],
        of: "/providers/microsoft.resourcegraph/resources",
        what: What::Undeclared,
        place: "error/details/*/*",
        recording: "resource_graph_queries.json",
        shows: "line, token and more in the details, which the older document does not declare",
    },
];

impl Exception {
    /// Whether it excuses `finding`.
    pub fn excuses(&self, operation: &Operation, side: Side, finding: &Finding) -> bool {
        side != Side::Request
            && self.what == finding.what
            && (self.methods.is_empty() || self.methods.contains(&operation.method.as_str()))
            && operation.template.to_ascii_lowercase().contains(self.of)
            && ends_with(&finding.place, self.place)
    }
}

/// Whether the last parts of `place` are those of `end`.
fn ends_with(place: &str, end: &str) -> bool {
    let mut place = place.rsplit('/');
    end.rsplit('/').all(|wanted| place.next().is_some_and(|it| wanted == "*" || wanted == it))
}
