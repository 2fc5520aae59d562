//! What others make where the simulated ARM cannot: a scale set, whose PUT is not simulated, since
//! nobody of us sends one.

use serde_json::json;

use super::version::Version;
use super::{Azure, AzureError, compute, plain};

impl Azure {
    /// Makes the scale set `id` of `size` machines in `region` from the version `version_id`, each of
    /// which runs what the model names. False: the version is not there in that region, and nothing
    /// was made.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn make_scale_set(
        &self,
        id: &str,
        version_id: &str,
        region: &str,
        size: u32,
    ) -> Result<bool, AzureError> {
        Ok(self.within(|world| {
            let version = world.records.get::<Version>(version_id)?;
            if version.is_none_or(|it| it.region(region).is_none() || it.state == "Deleting") {
                return Ok(false);
            }
            let model = json!({ "id": version_id });
            let tags = json!({});
            let set = compute::scale_set(id, region, tags, &model, "Uniform", size, world.now);
            plain::put(world, &set)?;
            let exact = version_id.rsplit('/').next();
            let runs = json!({ "id": version_id, "exactVersion": exact });
            for number in 0..size {
                plain::put(world, &compute::instance(&set, number, &runs))?;
            }
            Ok(true)
        })?)
    }
}
