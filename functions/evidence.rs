//! Reads the world for a retirement: which versions there are, how they stand, where they are good
//! and who uses them. The same reading serves the sweep and, again, each write.

use std::collections::{BTreeMap, BTreeSet};

use arm::{GalleryId, Provisioning, Sought, Users, Version};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use rules::catalog::Image;
use rules::event::PinnedBase;
use rules::in_use::{Claim, KnownVersion, LatestSpan, Look, uses};
use rules::retention::{Facts, Pin, Provisioned, RegionFacts, VersionFacts};
use rules::standing::Standing;
use rules::state::State;
use rules::{ImageName, Region, VersionNumber};
use tracing::warn;

use crate::{Context, Failure, newcomer, tags, version_body};

/// The most requests with which a sweep reads images: of a tenth of a second or two each, so that
/// its step has ended long before it is overdue. The next sweep begins elsewhere.
const MOST_REQUESTS: usize = 500;

/// So many versions are read at a time.
const READ_AT_ONCE: usize = 4;

/// What was read of some images: enough to judge each of them.
#[derive(Debug, Default)]
pub struct Evidence {
    versions: BTreeMap<ImageName, Vec<Version>>,
    states: BTreeMap<ImageName, State>,
    users: Users,
    /// The images that were read with their children and their users: those that may be judged.
    read: BTreeSet<ImageName>,
    /// Why reading broke off: Azure has had too many requests, or we have asked for enough at a
    /// time. The rest is for another one.
    /// Images may be missing, and instances of scale sets, which then count against every version.
    broke_off: Option<Failure>,
}

impl Evidence {
    /// Reads `images`, their children and all their users.
    ///
    /// # Errors
    /// [`Failure`] when anything could not be read; a scope of the consumers that could not is a
    /// part of the evidence.
    pub async fn read(cx: &Context, images: &[&Image]) -> Result<Evidence, Failure> {
        let mut evidence = Evidence::default();
        // First, since without it the rest is worth nothing: the images may use up all requests.
        let gallery = cx.arm.gallery(&GalleryId::from(&cx.catalog.gallery)).await?;
        let (mut requests, mut read) = (0, Vec::new());
        'images: for image in images {
            let children = cx.catalog.children(&image.name).map(|it| &it.name);
            for name in [&image.name].into_iter().chain(children) {
                // Without its evidence an image is not judged, and a child uses every version.
                match evidence.read_image(cx, name).await {
                    Ok(asked) => requests += asked,
                    Err(failure) => {
                        warn!(image = %name, "The versions of {name} could not be read: {failure:?}");
                        // Asking on would only prolong the wait.
                        if failure.asks_to_wait() {
                            evidence.broke_off = Some(failure);
                            break 'images;
                        }
                    }
                }
            }
            read.push(*image);
            if requests >= MOST_REQUESTS && read.len() < images.len() {
                let why = format!("{} of {} images were read", read.len(), images.len());
                evidence.broke_off = Some(Failure::later(why));
                break;
            }
        }
        if read.is_empty()
            && let Some(failure) = evidence.broke_off.take()
        {
            return Err(failure);
        }
        evidence.read = read.iter().map(|it| it.name.clone()).collect();

        let sought: Vec<Sought> = read
            .iter()
            .map(|image| Sought {
                definition: cx.definition(&image.name),
                shared_names: gallery.shared_names.clone(),
            })
            .collect();
        evidence.users = cx.arm.users_of(&sought, &cx.catalog.consumers).await?;
        if let Some(error) = evidence.users.asked_to_wait.take() {
            evidence.broke_off = Some(error.into());
        }
        if evidence.users.moved || !evidence.users.complete {
            let why = "Resource Graph (its answer changed or was cut while it was read)";
            evidence.users.unreadable.push(why.to_owned());
        }
        Ok(evidence)
    }

    /// Why not everything was read, when Azure asked to wait or there are very many images.
    pub fn take_broke_off(&mut self) -> Option<Failure> {
        self.broke_off.take()
    }

    /// Reads `image`, once; how many requests of Azure that were.
    async fn read_image(&mut self, cx: &Context, image: &ImageName) -> Result<usize, Failure> {
        if self.versions.contains_key(image) {
            return Ok(0);
        }
        let versions = match cx.arm.versions(&cx.definition(image)).await {
            Ok(versions) => versions,
            Err(arm::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let Some(stream) = cx.readable(image).await? else { return Ok(1) };
        let state = stream.state;

        // A list does not say where a version is Completed, and only that makes it good.
        let offered = |it: &Version| standing(&state, it) == Standing::Released;
        let requests = 1 + versions.iter().filter(|it| offered(it)).count();
        let versions = stream::iter(versions)
            .map(async |mut version| match offered(&version) {
                false => Ok(version),
                true => match cx.arm.version(&version.id).await {
                    Ok(read) => Ok(read),
                    Err(arm::Error::NotFound { .. }) => {
                        version.replication = None;
                        Ok(version)
                    }
                    Err(error) => Err(error),
                },
            })
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await?;
        self.versions.insert(image.clone(), versions);
        self.states.insert(image.clone(), state);
        Ok(requests)
    }

    /// True when everything about the image itself was read.
    pub fn is_there(&self, image: &ImageName) -> bool {
        self.read.contains(image) && self.versions.contains_key(image)
    }

    /// The facts by which the versions of `image` are judged.
    pub fn facts(&self, cx: &Context, image: &Image) -> Facts {
        let none = (Vec::new(), State::default());
        let versions = self.versions.get(&image.name).unwrap_or(&none.0);
        let state = self.states.get(&image.name).unwrap_or(&none.1);

        let known: Vec<KnownVersion> = versions
            .iter()
            .map(|it| KnownVersion { number: it.number, hidden: version_body::is_hidden(it) })
            .collect();
        let definition = cx.definition(&image.name).to_string();
        let in_use = uses(&Look {
            definition_id: &definition,
            versions: &known,
            rows: &self.users.rows,
            latest: &latest(state),
            unreadable: &self.users.unreadable,
            claims: &self.claims(cx, image),
        });

        let mut facts: Vec<VersionFacts> =
            versions.iter().map(|it| self.version_facts(cx, image, state, it)).collect();
        supersede(&mut facts);
        Facts {
            now: cx.now,
            home: cx.catalog.gallery.location.clone(),
            wanted_regions: image.regions().into_iter().cloned().collect(),
            versions: facts,
            in_use,
        }
    }

    /// The newest version on offer that somebody else has made of `image`, whatever was read of its
    /// users.
    pub fn newcomer(&self, image: &Image) -> Option<VersionNumber> {
        let (versions, state) = (self.versions.get(&image.name)?, self.states.get(&image.name)?);
        newcomer::on_offer(image, state, versions)
    }

    /// When the gallery says a version was published; nothing when it is gone.
    pub fn published_at(&self, image: &ImageName, number: VersionNumber) -> Option<DateTime<Utc>> {
        let versions = self.versions.get(image)?;
        versions.iter().find(|it| it.number == number)?.published_at
    }

    /// The versions that the ledger says were offered, and that are not in the gallery any more.
    pub fn gone(&self, image: &ImageName) -> Vec<VersionNumber> {
        let (Some(versions), Some(state)) = (self.versions.get(image), self.states.get(image))
        else {
            return Vec::new();
        };
        let there = |number: &VersionNumber| versions.iter().any(|it| it.number == *number);
        let offered = |it: &&rules::state::Version| {
            matches!(it.standing, Standing::Released | Standing::Deprecated | Standing::Trimmed)
                && it.retiring.is_none()
        };
        let known = state.versions.iter().filter(|(_, it)| offered(it));
        let gone = known.filter(|(number, _)| !there(number) && state.run(**number).is_none());
        gone.map(|(number, _)| *number).collect()
    }

    /// How a version stood when it was read; one that is gone is deleted.
    pub fn standing(&self, image: &ImageName, number: VersionNumber) -> Standing {
        let (Some(versions), Some(state)) = (self.versions.get(image), self.states.get(image))
        else {
            return Standing::Deleted;
        };
        let version = versions.iter().find(|it| it.number == number);
        version.map_or(Standing::Deleted, |it| standing(state, it))
    }

    fn version_facts(
        &self,
        cx: &Context,
        image: &Image,
        state: &State,
        version: &Version,
    ) -> VersionFacts {
        let known = state.versions.get(&version.number);
        let in_a_run = state.run(version.number).is_some();
        // What its run has not released, it will hide again, whoever offers it there.
        let is_released = |region: &Region| {
            !in_a_run || known.is_some_and(|it| it.released_at.contains_key(region))
        };
        let completed = version_body::completed(version);
        let failed = version_body::failed(version);
        let regions = version
            .target_regions
            .iter()
            .map(|it| {
                let hidden = it.exclude_from_latest.unwrap_or(version.exclude_from_latest);
                let excluded = hidden || !is_released(&it.region);
                let completed = completed.contains(&it.region);
                let failed = failed.contains_key(&it.region);
                (it.region.clone(), RegionFacts { completed, failed, excluded })
            })
            .collect();
        let released = known.and_then(|it| it.released_at.values().min().copied());
        VersionFacts {
            number: version.number,
            ours: known.is_some_and(|it| it.opened_at.is_some())
                || tags::are_ours(&version.tags, &image.name),
            provisioned: match version.provisioning {
                Provisioning::Succeeded => Provisioned::Succeeded,
                Provisioning::Failed | Provisioning::Canceled => Provisioned::Failed,
                Provisioning::Creating
                | Provisioning::Updating
                | Provisioning::Deleting
                | Provisioning::Migrating
                | Provisioning::Other(_) => Provisioned::InProgress,
            },
            standing: standing(state, version),
            in_a_run,
            hidden: version.exclude_from_latest,
            regions,
            published_at: version.published_at,
            released_at: released.or_else(|| tags::time(&version.tags, tags::RELEASED_AT)),
            superseded_at: None,
            deprecated_at: known
                .and_then(|it| it.deprecated_at)
                .or_else(|| tags::time(&version.tags, tags::DEPRECATED_AT)),
            pinned: state
                .pins
                .get(&version.number)
                .map(|pin| Pin { until: pin.until, why: format!("{} ({})", pin.why, pin.by) }),
            protected_until: version
                .end_of_life
                .filter(|_| version.block_deletion_before_end_of_life),
            given_up: known.map(|it| it.given_up.clone()).unwrap_or_default(),
            base_of: self.built_from(cx, image, version.number),
        }
    }

    /// The children whose newest offered version was built from `number`.
    fn built_from(&self, cx: &Context, image: &Image, number: VersionNumber) -> Vec<ImageName> {
        let base = PinnedBase::Image { image: image.name.clone(), version: number }.version();
        let is_from = |tag: &String| *tag == base || *tag == number.to_string();
        let is_current = |child: &&Image| {
            let (Some(versions), Some(state)) =
                (self.versions.get(&child.name), self.states.get(&child.name))
            else {
                return true;
            };
            let offered = versions.iter().filter(|it| standing(state, it) == Standing::Released);
            let Some(newest) = offered.max_by_key(|it| it.number) else { return false };
            // Somebody else may have written over the tags.
            let known = state.versions.get(&newest.number).and_then(|it| it.base.as_ref());
            let from =
                known.map(PinnedBase::version).or_else(|| newest.tags.get(tags::BASE).cloned());
            from.as_ref().is_some_and(is_from)
        };
        cx.catalog.children(&image.name).filter(is_current).map(|it| it.name.clone()).collect()
    }

    /// Uses that no row of Azure shows: children that are being built from a version.
    fn claims(&self, cx: &Context, image: &Image) -> Vec<Claim> {
        let mut claims = Vec::new();
        for child in cx.catalog.children(&image.name) {
            let runs = self.states.get(&child.name).into_iter().flat_map(State::runs);
            for run in runs {
                if let PinnedBase::Image { version, .. } = &run.base {
                    let by = format!("image {}", child.name);
                    let why = format!("its run {} is built from it", run.version);
                    claims.push(Claim { number: Some(*version), by, why });
                }
            }
        }
        claims
    }
}

/// The standing by the ledger, else by the tags, else by what the gallery does with it.
fn standing(state: &State, version: &Version) -> Standing {
    if let Some(known) = state.versions.get(&version.number) {
        match (known.standing, known.condemned_as) {
            // What somebody has restored is what it was; what others write on it does not prove it.
            (Standing::Deleted, Some(condemned)) => return condemned,
            (Standing::Deleted, None) => {}
            (standing, _) => return standing,
        }
    }
    let tagged = version.tags.get(tags::STANDING).and_then(|it| it.parse().ok());
    // Whoever hid a version that is not ours has retired it.
    tagged.unwrap_or(if version_body::is_hidden(version) {
        Standing::Deprecated
    } else {
        Standing::Released
    })
}

/// A version is superseded when the first newer one is released.
fn supersede(facts: &mut [VersionFacts]) {
    let stands = |it: &&VersionFacts| !it.standing.is_condemned();
    let released: Vec<(VersionNumber, DateTime<Utc>)> =
        facts.iter().filter(stands).filter_map(|it| Some((it.number, it.released_at?))).collect();
    for version in facts {
        let newer = released.iter().filter(|(number, _)| *number > version.number);
        version.superseded_at = newer.map(|(_, at)| *at).min();
    }
}

/// What *latest* was in each region, as far as the ledger knows: the highest offered number.
fn latest(state: &State) -> Vec<LatestSpan> {
    let mut by_region: BTreeMap<&Region, Vec<(DateTime<Utc>, VersionNumber)>> = BTreeMap::new();
    for (number, version) in &state.versions {
        for (region, at) in &version.released_at {
            by_region.entry(region).or_default().push((*at, *number));
        }
    }

    let mut spans = Vec::new();
    for (region, mut releases) in by_region {
        releases.sort();
        let ends = releases.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        for ((from, number), to) in releases.iter().zip(ends) {
            spans.push(LatestSpan { region: region.clone(), number: *number, from: *from, to });
        }
    }
    spans
}
