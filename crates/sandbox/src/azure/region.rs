//! Azure's regions. One body may name the same region "East US 2" and "eastus2" (recorded), so
//! both spellings are needed.

/// Short name, display name and geography group.
const REGIONS: [(&str, &str, &str); 32] = [
    ("australiaeast", "Australia East", "Asia Pacific"),
    ("brazilsouth", "Brazil South", "South America"),
    ("canadacentral", "Canada Central", "Canada"),
    ("canadaeast", "Canada East", "Canada"),
    ("centralindia", "Central India", "Asia Pacific"),
    ("centralus", "Central US", "US"),
    ("eastasia", "East Asia", "Asia Pacific"),
    ("eastus", "East US", "US"),
    ("eastus2", "East US 2", "US"),
    ("francecentral", "France Central", "Europe"),
    ("germanywestcentral", "Germany West Central", "Europe"),
    ("italynorth", "Italy North", "Europe"),
    ("japaneast", "Japan East", "Asia Pacific"),
    ("japanwest", "Japan West", "Asia Pacific"),
    ("koreacentral", "Korea Central", "Asia Pacific"),
    ("northcentralus", "North Central US", "US"),
    ("northeurope", "North Europe", "Europe"),
    ("norwayeast", "Norway East", "Europe"),
    ("polandcentral", "Poland Central", "Europe"),
    ("southafricanorth", "South Africa North", "Africa"),
    ("southcentralus", "South Central US", "US"),
    ("southeastasia", "Southeast Asia", "Asia Pacific"),
    ("spaincentral", "Spain Central", "Europe"),
    ("swedencentral", "Sweden Central", "Europe"),
    ("switzerlandnorth", "Switzerland North", "Europe"),
    ("uaenorth", "UAE North", "Middle East"),
    ("uksouth", "UK South", "Europe"),
    ("ukwest", "UK West", "Europe"),
    ("westcentralus", "West Central US", "US"),
    ("westeurope", "West Europe", "Europe"),
    ("westus", "West US", "US"),
    ("westus2", "West US 2", "US"),
];

/// The regions that exist: short name, display name, geography group.
pub(crate) fn all() -> &'static [(&'static str, &'static str, &'static str)] {
    &REGIONS
}

/// The short form of a region's name: lower case, no spaces.
pub(crate) fn short(name: &str) -> String {
    name.chars().filter(|it| *it != ' ').map(|it| it.to_ascii_lowercase()).collect()
}

/// The short name of the region that `name` means in either spelling; none when there is none.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    let short = short(name);
    REGIONS.iter().find(|it| it.0 == short).map(|it| it.0)
}

/// The display form, "East US 2"; `name` itself for a region that does not exist.
pub(crate) fn display(name: &str) -> String {
    let short = short(name);
    let found = REGIONS.iter().find(|it| it.0 == short);
    found.map_or_else(|| name.to_owned(), |it| it.1.to_owned())
}
