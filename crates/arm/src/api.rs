//! The API version of each namespace. Each is the newest stable one in Microsoft's specifications
//! (azure-rest-api-specs) in autumn 2026.

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
