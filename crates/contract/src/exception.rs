//! What Azure was recorded doing although its documents say otherwise, and the API versions without a
//! document at hand that a cloud may be left with. Nothing else is let through. Each line names the
//! file that shows it: a recording, or of an API version whatever shows that it exists. What an older
//! version holds is not shown by that: it is held against the newest document of its operation, less
//! what is known to have been added since (`later.rs`).

use crate::finding::{Finding, What};
use crate::operation::Operation;
use crate::report::Side;

/// One allowed deviation of an answer. No request may deviate, but in its API version.
#[derive(Debug)]
pub struct Exception {
    /// The methods that it holds for; all of them when empty.
    pub methods: &'static [&'static str],
    /// A part of the operation's template, in lower case.
    pub of: &'static str,
    pub what: What,
    /// The end of the finding's place; `*` is any one part. Or the API version.
    pub place: &'static str,
    /// The file that shows it, below the folder of Microsoft's documents and recordings.
    pub shown_by: &'static str,
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
        shown_by: "recordings/ib_output_versioning.json",
        shows: "versioning was sent, or not, and null is echoed",
    },
    Exception {
        methods: &["PUT", "PATCH", "DELETE", "POST"],
        of: "/imagetemplates/{imagetemplatename}",
        what: What::Header,
        place: "header azure-asyncoperation",
        shown_by: "recordings/ib_create_list_delete.json",
        shows: "each long-running answer of Image Builder has Azure-AsyncOperation",
    },
    Exception {
        methods: &[],
        of: "/galleries/{galleryname}/images/{galleryimagename}/versions",
        what: What::Undeclared,
        place: "properties/validationsProfile/validationOperationStatus",
        shown_by: "recordings/gallery_soft_delete_2026-03-03.json",
        shows: "validationOperationStatus NotExecuted beside the declared members",
    },
    Exception {
        methods: &["PUT", "DELETE", "POST"],
        of: "/galleries/{galleryname}",
        what: What::Header,
        place: "header azure-asyncoperation",
        shown_by: "recordings/gallery_e2e.json",
        shows: "each long-running answer of a gallery has Azure-AsyncOperation",
    },
    Exception {
        methods: &["PUT"],
        of: "/galleries/{galleryname}",
        what: What::HeaderMissing,
        place: "header location",
        shown_by: "recordings/gallery_e2e.json",
        shows: "the answer to a PUT never has the declared Location",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus",
        what: What::Null,
        place: "extendedLocation",
        shown_by: "recordings/platform_images_list.json",
        shows: "extendedLocation null outside edge zones",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus",
        what: What::Undeclared,
        place: "*/properties",
        shown_by: "recordings/platform_images_list.json",
        shows: "each sku says whether its scale sets are upgraded by themselves",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Null,
        place: "properties/imageDeprecationStatus/scheduledDeprecationTime",
        shown_by: "recordings/platform_images_list.json",
        shows: "scheduledDeprecationTime null for what is not deprecated",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/goLiveDate",
        shown_by: "recordings/platform_image_latest_2026.json",
        shows: "goLiveDate, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/replicaType",
        shown_by: "recordings/platform_image_latest_2026.json",
        shows: "replicaType, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions",
        what: What::Undeclared,
        place: "properties/replicaCount",
        shown_by: "recordings/platform_image_latest_2026.json",
        shows: "replicaCount, which no document has",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions/{version}",
        what: What::Undeclared,
        place: "properties/imageDiscontinuationStatus",
        shown_by: "recordings/platform_image_latest_2026.json",
        shows: "imageDiscontinuationStatus, which came with 2026",
    },
    Exception {
        methods: &["GET"],
        of: "/artifacttypes/vmimage/offers/{offer}/skus/{skus}/versions/{version}",
        what: What::Undeclared,
        place: "properties/osDiskImage/sizeInBytes",
        shown_by: "recordings/platform_image_latest.json",
        shows: "the size of the disk, which the document derived from the SDK leaves out",
    },
    Exception {
        methods: &["POST"],
        of: "/providers/microsoft.resourcegraph/resources",
        what: What::Undeclared,
        place: "error/details/*/*",
        shown_by: "recordings/resource_graph_queries.json",
        shows: "line, token and more in the details, which the older document does not declare",
    },
    older(
        "/microsoft.compute/galleries/",
        "2025-03-03",
        "specs/Microsoft.Compute/2025-03-03/examples/galleryExamples/GalleryImageVersion_Create.json",
        "Microsoft's example of a version's PUT",
    ),
    older(
        "/artifacttypes/vmimage/",
        "2025-11-01",
        "specs/Microsoft.Compute/2025-11-01/examples/virtualMachineImageExamples/VirtualMachineImage_List_MaximumSet_Gen.json",
        "Microsoft's example of a list of platform images",
    ),
    older(
        "/artifacttypes/vmimage/",
        "2024-11-01",
        "recordings/platform_image_latest_2026.json",
        "a platform image that was read in 2026",
    ),
    // One provider has one list of versions: what platform images have, scale sets have.
    older(
        "/virtualmachinescalesets",
        "2025-11-01",
        "specs/Microsoft.Compute/2025-11-01/examples/virtualMachineImageExamples/VirtualMachineImage_List_MaximumSet_Gen.json",
        "Microsoft's example, of Compute as a whole",
    ),
    older(
        "/virtualmachinescalesets",
        "2024-11-01",
        "recordings/platform_image_latest_2026.json",
        "Compute as a whole, asked in 2026",
    ),
    older(
        "/resourcegroups",
        "2022-09-01",
        "recordings/resource_groups.json",
        "groups that are made, read and deleted",
    ),
    older(
        "/microsoft.virtualmachineimages/",
        "2024-02-01",
        "foreign-clients.md",
        "what az 2.91.0 was seen to send to Image Builder; no recording is of it",
    ),
];

/// The version that a client asks for where the one it knows is not there yet.
const fn older(
    of: &'static str,
    place: &'static str,
    shown_by: &'static str,
    shows: &'static str,
) -> Exception {
    Exception { methods: &[], of, what: What::ApiVersion, place, shown_by, shows }
}

impl Exception {
    /// Whether `operation` may be asked for in this API version, of which no document is at hand.
    pub fn admits(&self, operation: &Operation, version: &str) -> bool {
        self.what == What::ApiVersion
            && self.place == version
            && operation.template.to_ascii_lowercase().contains(self.of)
    }

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
pub(crate) fn ends_with(place: &str, end: &str) -> bool {
    let mut place = place.rsplit('/');
    end.rsplit('/').all(|wanted| place.next().is_some_and(|it| wanted == "*" || wanted == it))
}
