//! The settings of the function app, read once from the environment.

use std::collections::BTreeSet;
use std::fmt;

use rules::CatalogName;
use url::Url;

/// Where everything is, and whose the handler is.
#[derive(Clone)]
pub struct Settings {
    /// The catalog whose images this app looks after.
    pub catalog: CatalogName,
    /// Azure Resource Manager, `https://management.azure.com`.
    pub arm: Url,
    /// The Service Bus namespace, `https://goldsmith.servicebus.windows.net`.
    pub bus: Url,
    /// The ledger's container, `https://account.blob.core.windows.net/goldsmith`.
    pub store: Url,
    /// The address of a storage account's blobs, with `{account}` in it.
    pub blobs: String,
    /// The client id of the user-assigned identity; the system-assigned one without it.
    pub client_id: Option<String>,
    /// The client id of the user-assigned identity that alone may delete on Azure; without it the
    /// other one deletes too.
    pub deleting_client_id: Option<String>,
    /// True when tokens are those of whoever is logged in to `az` or `azd` on this machine.
    pub developer: bool,
    /// Where notices are posted. A secret: the address itself is the key.
    pub webhook: Option<Url>,
    /// True on a desk: the sandbox tells the time with each invocation.
    pub desk_time: bool,
}

/// Settings that are missing or wrong, all of them together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the settings through `get`, which is the environment in the product.
    ///
    /// # Errors
    /// Every setting that is missing or wrong, each with a value that would do.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        let mut wrong = Vec::new();
        let get = |name: &str| get(name).filter(|it| !it.trim().is_empty());

        let catalog = get("GOLDSMITH_CATALOG");
        let catalog = match catalog.map(CatalogName::try_from) {
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => {
                wrong.push(format!("`GOLDSMITH_CATALOG`: {error}"));
                None
            }
            None => {
                wrong.push("`GOLDSMITH_CATALOG` is not set; for example `contoso`".to_owned());
                None
            }
        };

        let mut address = |name: &str, default: Option<&str>, example: &str| {
            let text = get(name).or_else(|| default.map(str::to_owned));
            let Some(text) = text else {
                wrong.push(format!("`{name}` is not set; for example `{example}`"));
                return None;
            };
            match Url::parse(&text) {
                Ok(url) if is_safe(&url) => Some(url),
                Ok(_) => {
                    wrong.push(format!("`{name}` must be https (http only on loopback)"));
                    None
                }
                Err(error) => {
                    wrong.push(format!("`{name}` is not an address: {error}"));
                    None
                }
            }
        };
        let arm = address("GOLDSMITH_ARM", Some("https://management.azure.com"), "");
        let bus = address("GOLDSMITH_BUS", None, "https://goldsmith.servicebus.windows.net");
        let store =
            address("GOLDSMITH_STORE", None, "https://goldsmith.blob.core.windows.net/goldsmith");
        let webhook = match get("GOLDSMITH_WEBHOOK") {
            Some(_) => address("GOLDSMITH_WEBHOOK", None, ""),
            None => None,
        };

        let blobs = get("GOLDSMITH_BLOBS")
            .unwrap_or_else(|| "https://{account}.blob.core.windows.net".to_owned());
        if !Url::parse(&blobs.replace("{account}", "account")).is_ok_and(|url| is_safe(&url)) {
            wrong.push(
                "`GOLDSMITH_BLOBS` must be https with `{account}` in it (http only on loopback)"
                    .to_owned(),
            );
        }

        let client_id = get("AZURE_CLIENT_ID");
        let deleting_client_id = get("GOLDSMITH_DELETING_CLIENT_ID");
        let developer = match get("GOLDSMITH_IDENTITY").as_deref() {
            None | Some("managed") => false,
            Some("developer") => true,
            Some(_) => {
                wrong.push(
                    "`GOLDSMITH_IDENTITY` is `managed`, or `developer` for whoever is logged in to \
                     `az` or `azd`"
                        .to_owned(),
                );
                false
            }
        };
        if developer && deleting_client_id.is_some() {
            wrong.push(
                "`GOLDSMITH_DELETING_CLIENT_ID` names a managed identity; leave it out where \
                 `GOLDSMITH_IDENTITY` is `developer`"
                    .to_owned(),
            );
        }

        let desk_time = get("GOLDSMITH_DESK_TIME").is_some_and(|it| it == "1" || it == "true");
        let (Some(catalog), Some(arm), Some(bus), Some(store)) = (catalog, arm, bus, store) else {
            return Err(SettingsError(wrong));
        };
        let blobs_are_near =
            Url::parse(&blobs.replace("{account}", "account")).is_ok_and(|url| is_loopback(&url));
        let near = [&arm, &bus, &store].into_iter().chain(&webhook).all(is_loopback);
        if desk_time && !(near && blobs_are_near) {
            wrong.push(
                "`GOLDSMITH_DESK_TIME` is for a sandbox only: every address must be on loopback"
                    .to_owned(),
            );
        }
        if !wrong.is_empty() {
            return Err(SettingsError(wrong));
        }
        Ok(Settings {
            catalog,
            arm,
            bus,
            store,
            blobs,
            client_id,
            deleting_client_id,
            developer,
            webhook,
            desk_time,
        })
    }

    /// The hosts that may be sent our tokens.
    pub fn trusted_hosts(&self) -> BTreeSet<String> {
        [&self.arm, &self.bus, &self.store].into_iter().filter_map(authority).collect()
    }

    /// The base address of `account`'s blobs; nothing when that is not a name that Azure gives to
    /// an account (3 to 24 lower-case letters and digits), since any other could be read as another
    /// host.
    pub fn blobs_of(&self, account: &str) -> Option<String> {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
        let is_name = (3..=24).contains(&account.len()) && account.bytes().all(plain);
        is_name.then(|| self.blobs.replace("{account}", account))
    }
}

/// `host` or `host:port`, lower case.
pub fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}")))
}

fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_env(|name| {
            pairs.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const GOOD: [(&str, &str); 3] = [
        ("GOLDSMITH_CATALOG", "contoso"),
        ("GOLDSMITH_BUS", "https://contoso.servicebus.windows.net"),
        ("GOLDSMITH_STORE", "https://contoso.blob.core.windows.net/goldsmith"),
    ];

    #[test]
    fn all_missing_settings_are_named_together_with_examples() {
        let SettingsError(wrong) = settings(&[]).unwrap_err();

        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong.iter().all(|it| it.contains("for example `")), "{wrong:?}");
    }

    #[test]
    fn arm_and_the_blobs_have_the_public_cloud_as_default() {
        let settings = settings(&GOOD).unwrap();

        assert_eq!(settings.arm.as_str(), "https://management.azure.com/");
        let logs = settings.blobs_of("logs");
        assert_eq!(logs.as_deref(), Some("https://logs.blob.core.windows.net"));
    }

    #[test]
    fn an_account_whose_name_would_lead_to_another_host_has_no_blobs() {
        let settings = settings(&GOOD).unwrap();

        for name in [
            "evil.example/",
            "evil.example#",
            "evil.example?",
            "me@evil.example/",
            "evil.example:443/",
            "evil.example\\",
            "logs.evil",
            "LOGS",
            "lo",
            "",
            "a0123456789012345678901234",
        ] {
            assert_eq!(settings.blobs_of(name), None, "{name}");
        }
    }

    #[test]
    fn one_managed_identity_deletes_and_another_does_the_rest() {
        let mut pairs = GOOD.to_vec();
        pairs.push(("AZURE_CLIENT_ID", "ours"));
        pairs.push(("GOLDSMITH_DELETING_CLIENT_ID", "deleting"));

        let settings = settings(&pairs).unwrap();

        assert_eq!(settings.client_id.as_deref(), Some("ours"));
        assert_eq!(settings.deleting_client_id.as_deref(), Some("deleting"));
        assert!(!settings.developer);
    }

    #[test]
    fn a_developers_login_is_asked_for_by_name_and_has_no_second_identity() {
        let with = |more: &[(&'static str, &'static str)]| settings(&[&GOOD[..], more].concat());
        let developer = ("GOLDSMITH_IDENTITY", "developer");

        assert!(with(&[developer]).unwrap().developer);
        let SettingsError(wrong) = with(&[("GOLDSMITH_IDENTITY", "me")]).unwrap_err();
        assert!(wrong[0].contains("`managed`") && wrong[0].contains("`developer`"), "{wrong:?}");
        let deleting = ("GOLDSMITH_DELETING_CLIENT_ID", "deleting");
        let SettingsError(wrong) = with(&[developer, deleting]).unwrap_err();
        assert!(wrong[0].contains("leave it out"), "{wrong:?}");
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let bus = ("GOLDSMITH_BUS", "http://contoso.servicebus.windows.net");
        let SettingsError(wrong) = settings(&[GOOD[0], bus, GOOD[2]]).unwrap_err();

        assert_eq!(wrong, ["`GOLDSMITH_BUS` must be https (http only on loopback)"]);
    }

    #[test]
    fn desk_time_is_refused_when_any_address_is_not_on_loopback() {
        let mut pairs = GOOD.to_vec();
        pairs.push(("GOLDSMITH_DESK_TIME", "1"));

        assert!(settings(&pairs).is_err());
    }
}
