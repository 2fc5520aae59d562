//! What a catalog may say and probably does not mean: regions. Azure has more of them every year, so
//! none is refused, and a slip of the pen shows late: when a version cannot be replicated.

use std::collections::BTreeMap;

use rules::catalog::Catalog;

use crate::document::{Node, Step};
use crate::problem::Problem;

/// So many letters may be wrong, missing or swapped in what is taken for a slip of the pen.
const SLIP: usize = 2;

/// Regions that Azure is known to have (its list of regions, public cloud): none of them is a slip of
/// the pen, though `eastus` and `westus` are alike. One that is missing here is merely not known.
const KNOWN: [&str; 58] = [
    "australiacentral",
    "australiacentral2",
    "australiaeast",
    "australiasoutheast",
    "austriaeast",
    "belgiumcentral",
    "brazilsouth",
    "brazilsoutheast",
    "canadacentral",
    "canadaeast",
    "centralindia",
    "centralus",
    "chilecentral",
    "eastasia",
    "eastus",
    "eastus2",
    "francecentral",
    "francesouth",
    "germanynorth",
    "germanywestcentral",
    "indonesiacentral",
    "israelcentral",
    "italynorth",
    "japaneast",
    "japanwest",
    "jioindiacentral",
    "jioindiawest",
    "koreacentral",
    "koreasouth",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northcentralus",
    "northeurope",
    "norwayeast",
    "norwaywest",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southafricawest",
    "southcentralus",
    "southeastasia",
    "southindia",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    "switzerlandnorth",
    "switzerlandwest",
    "uaecentral",
    "uaenorth",
    "uksouth",
    "ukwest",
    "westcentralus",
    "westeurope",
    "westindia",
    "westus",
    "westus2",
    "westus3",
];

/// The warnings for `catalog`, which was read from `root`.
pub fn of(root: &Node, catalog: &Catalog) -> Vec<Problem> {
    let mut problems = away_from_home(root, catalog);
    problems.extend(slips(root, catalog));
    problems
}

/// Images that are not offered where the gallery is.
fn away_from_home(root: &Node, catalog: &Catalog) -> Vec<Problem> {
    let home = &catalog.gallery.location;
    let mut problems = Vec::new();
    for (index, image) in catalog.images.iter().enumerate() {
        if image.regions().contains(&home) {
            continue;
        }
        let place = root.locate(&path(&["images"], index, &["rings"]));
        let message = format!("no ring of `{}` has the gallery's home region `{home}`", image.name);
        let hint = format!("builds and old versions stay in `{home}`; add it to a ring");
        problems.push(Problem::warning(place, message).hint(Some(hint)));
    }
    problems
}

/// Regions that look like another region of the catalog.
fn slips(root: &Node, catalog: &Catalog) -> Vec<Problem> {
    let mut uses: BTreeMap<&str, Vec<Vec<Step>>> = BTreeMap::new();
    let home = ["gallery", "location"].map(|it| Step::Field(it.to_owned()));
    uses.entry(catalog.gallery.location.as_str()).or_default().push(home.to_vec());
    for (index, image) in catalog.images.iter().enumerate() {
        for (ring_index, ring) in image.rings.iter().enumerate() {
            for (region_index, region) in ring.regions.iter().enumerate() {
                let mut at = path(&["images"], index, &["rings"]);
                at.extend([
                    Step::Index(ring_index),
                    Step::Field("regions".to_owned()),
                    Step::Index(region_index),
                ]);
                uses.entry(region.as_str()).or_default().push(at);
            }
        }
    }

    let mut problems = Vec::new();
    for (region, places) in uses.iter().filter(|(region, _)| !KNOWN.contains(region)) {
        let rank = |name: &str, places: &[Vec<Step>]| (KNOWN.contains(&name), places.len());
        let alike = uses.iter().filter(|(other, others)| {
            *other != region
                && strsim::damerau_levenshtein(region, other) <= SLIP
                // Of two that nobody knows, the one that is used more often is meant.
                && rank(other, others) > rank(region, places)
        });
        let Some((meant, _)) = alike.max_by_key(|(other, others)| rank(other, others)) else {
            continue;
        };
        for place in places {
            let message = format!("region `{region}` looks like `{meant}`");
            let problem = Problem::warning(root.locate(place), message);
            problems.push(problem.hint(Some(format!("did you mean `{meant}`?"))));
        }
    }
    problems
}

fn path(before: &[&str], index: usize, after: &[&str]) -> Vec<Step> {
    let field = |it: &&str| Step::Field((*it).to_owned());
    let mut path: Vec<Step> = before.iter().map(field).collect();
    path.push(Step::Index(index));
    path.extend(after.iter().map(field));
    path
}
