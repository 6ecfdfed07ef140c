//! The version of OpenCTI that we talk to and what it therefore understands.
//!
//! A platform refuses a request that names an input field or argument it does not know, also when
//! the value is null. So what to send is decided by its version first; a refusal that names a field
//! is believed over the version, and remembered.
//!
//! Does not live here: the requests themselves (`operations`, `registration`, `work`).

use std::{fmt, str::FromStr};

/// A platform version: `6.9.28`, `7.260817.0` (year, month and day in the middle) or
/// `7.260309.0-lts.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number; `YYMMDD` from 7 on.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
    /// Number of the long-term-support release; `None` on the main line. It says nothing about
    /// features: those follow from the three numbers before.
    pub lts: Option<u32>,
}

impl Version {
    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, lts: None }
    }
}

/// The text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of the form 6.9.28, 7.260817.0 or 7.260309.0-lts.2")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let (numbers, suffix) = match text.trim().split_once('-') {
            Some((numbers, suffix)) => (numbers, Some(suffix)),
            None => (text.trim(), None),
        };
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let mut next = || parts.next().and_then(Result::ok).ok_or(NotAVersion);
        let (major, minor, patch) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(NotAVersion);
        }
        let lts = suffix.and_then(|suffix| suffix.strip_prefix("lts.")?.parse().ok());
        Ok(Self { major, minor, patch, lts })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.lts.map_or(Ok(()), |lts| write!(formatter, "-lts.{lts}"))
    }
}

/// Something that only newer platforms understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `enrichment_resolution` at registration. Where it is known it must be sent: a connector id
    /// once registered with it cannot be registered without it.
    EnrichmentResolution,
    /// A work that stays open until it is closed, however fast its objects are imported.
    MultiPartWork,
    /// A work that names the draft its objects go to.
    DraftContext,
    /// A draft that is deleted again. Seen on 7; older ones are not known to do it.
    DraftDelete,
    /// A bundle given to the API together with the work it belongs to.
    BundlePushWork,
    /// The platform's own S3 server in its answer to a registration.
    S3Connection,
    /// Users with several named tokens, shown once, instead of one that can be read.
    ManyTokens,
    /// `network-traffic` with its ends; before, each one sent is answered by an error.
    NetworkTraffic,
    /// Sigma texts checked by pySigma, YARA texts by libyara: said to be so since May 2026, seen on 7.260817.
    StrictRuleChecker,
    /// Incidents with a score.
    IncidentScore,
    /// Incidents with properties of our own. Every platform takes them until a custom field refuses one.
    CustomProperties,
    /// A bundle changes whether a sighting is one of a false positive; before, it never does.
    NegativeByBundle,
}

impl Feature {
    /// The first release that has it.
    const fn since(self) -> Version {
        match self {
            Self::EnrichmentResolution => Version::new(6, 8, 9),
            Self::MultiPartWork => Version::new(7, 260_422, 0),
            Self::DraftContext => Version::new(6, 5, 0),
            Self::BundlePushWork => Version::new(6, 5, 7),
            Self::S3Connection => Version::new(6, 9, 10),
            Self::StrictRuleChecker => Version::new(7, 260_601, 0),
            Self::IncidentScore => Version::new(7, 261_000, 0),
            Self::CustomProperties => Version::new(0, 0, 0),
            Self::ManyTokens => Version::new(7, 260_224, 0),
            Self::DraftDelete | Self::NetworkTraffic | Self::NegativeByBundle => {
                Version::new(7, 0, 0)
            }
        }
    }
}

/// The features that the platform has, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    version: Option<Version>,
    refused: Vec<Feature>,
}

impl Features {
    /// By the platform's version. An unknown one counts as the newest: what it does not understand
    /// it refuses, which is noticed, whereas a field left out may be missed silently.
    pub fn of(version: Option<Version>) -> Self {
        Self { version, refused: Vec::new() }
    }

    /// Returns the version that the platform answered last.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Returns whether to use a feature.
    pub fn has(&self, feature: Feature) -> bool {
        !self.refused.contains(&feature)
            && self.version.is_none_or(|version| version >= feature.since())
    }

    /// Remembers that the platform refused a feature.
    pub fn refuse(&mut self, feature: Feature) {
        self.refused.push(feature);
    }

    /// Takes note of the version that the platform answers now; an answer without one changes nothing. After
    /// an upgrade, what was refused is tried again, but for what no version decides.
    pub fn update(&mut self, version: Option<Version>) {
        let Some(version) = version else { return };
        if self.version.is_some_and(|known| known != version) {
            self.refused.retain(|feature| *feature == Feature::CustomProperties);
        }
        self.version = Some(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_scheme_are_read_and_compared() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("6.4.0") < version("6.9.28"));
        assert!(version("6.9.28") < version("7.260224.0"));
        assert!(version("7.260224.0") < version("7.260309.0-lts.2"));
        assert_eq!(version("7.260309.0-lts.2").to_string(), "7.260309.0-lts.2");
        assert_eq!(version(" 6.8.9 ").lts, None);
        for text in ["", "rolling", "7", "7.1", "6.4.x", "6.4.0.1"] {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion), "{text}");
        }
    }

    #[test]
    fn features_follow_from_the_version_and_a_refusal_is_believed_over_it() {
        let on = |text: &str| Features::of(text.parse().ok());
        assert!(!on("6.8.8").has(Feature::EnrichmentResolution));
        assert!(on("6.8.9").has(Feature::EnrichmentResolution));
        assert!(!on("7.260309.0-lts.2").has(Feature::MultiPartWork));
        assert!(on("7.260422.0").has(Feature::MultiPartWork));
        assert!(on("rolling").has(Feature::MultiPartWork));
        assert!(!on("6.9.28").has(Feature::NetworkTraffic));
        assert!(on("7.260224.0").has(Feature::NetworkTraffic));
        assert!(!on("6.9.28").has(Feature::StrictRuleChecker));
        assert!(on("7.260817.0").has(Feature::StrictRuleChecker));

        let mut features = on("7.260817.0");
        features.refuse(Feature::MultiPartWork);
        features.update("7.260817.0".parse().ok());
        assert!(!features.has(Feature::MultiPartWork), "the same version: remembered");
        assert!(features.has(Feature::EnrichmentResolution), "refused one by one");
        features.update("7.261026.0".parse().ok());
        assert!(features.has(Feature::MultiPartWork), "upgraded: tried again");
    }

    #[test]
    fn an_answer_without_a_version_changes_nothing_and_a_refused_property_outlives_an_upgrade() {
        let mut features = Features::of("6.9.28".parse().ok());
        features.refuse(Feature::CustomProperties);
        features.refuse(Feature::DraftContext);
        let before = features.clone();
        features.update(None);
        assert_eq!(features, before);
        assert!(!features.has(Feature::NetworkTraffic), "no newest one");
        features.update("7.260817.0".parse().ok());
        assert!(features.has(Feature::NetworkTraffic) && features.has(Feature::DraftContext));
        assert!(!features.has(Feature::CustomProperties), "the field is as it was");

        let mut features = Features::of(None);
        features.refuse(Feature::MultiPartWork);
        features.update("7.260817.0".parse().ok());
        assert!(!features.has(Feature::MultiPartWork), "known of this platform before its version");
    }
}
