//! Sightings on the platform: found, read back, and told whether they are those of a false positive.
//! Needed before 7, where a bundle never changes that.
//!
//! Does not live here: when this is done (`pipeline`).

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use super::{
    client::OpenCti,
    error::OpenCtiError,
    operations::{INTERNAL_ID, SIGHTING, SIGHTING_NEGATIVE, SIGHTINGS_BETWEEN},
};

/// Sightings of one indicator on one system that are looked through. The platform merges those of a
/// month into one, so these are years.
const MOST_SIGHTINGS: u32 = 100;

/// A sighting, as the platform shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShownSighting {
    /// The platform's own id.
    pub id: String,
    first_seen: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
    x_opencti_negative: Option<bool>,
}

impl ShownSighting {
    /// Returns whether it is shown as one of a false positive.
    pub fn is_negative(&self) -> bool {
        self.x_opencti_negative == Some(true)
    }

    /// Returns the time by which a moment is outside of what it covers.
    fn distance(&self, moment: DateTime<Utc>) -> TimeDelta {
        let before = self.first_seen.map_or(TimeDelta::zero(), |first| first - moment);
        let after = self.last_seen.map_or(TimeDelta::zero(), |last| moment - last);
        before.max(after).max(TimeDelta::zero())
    }
}

#[derive(Deserialize)]
struct One {
    #[serde(rename = "stixSightingRelationship")]
    sighting: Option<ShownSighting>,
}

#[derive(Deserialize)]
struct Many {
    #[serde(rename = "stixSightingRelationships")]
    page: Option<Page>,
}

#[derive(Deserialize)]
struct Page {
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    node: ShownSighting,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "stixDomainObject")]
    object: Option<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

impl OpenCti {
    /// The sighting that was sent under `id`, or, since the platform merges sightings and forgets
    /// the id of the merged one, the one between the two that is nearest to `seen_at`. `None` when
    /// it is not there (yet).
    pub async fn find_sighting(
        &self,
        id: &str,
        between: (&str, &str),
        seen_at: DateTime<Utc>,
    ) -> Result<Option<ShownSighting>, OpenCtiError> {
        let One { sighting } = self.call(&SIGHTING, json!({ "id": id })).await?;
        if sighting.is_some() {
            return Ok(sighting);
        }
        let (Some(from), Some(to)) =
            (self.internal_id(between.0).await?, self.internal_id(between.1).await?)
        else {
            return Ok(None);
        };
        let variables = json!({"fromId": from, "toId": to, "first": MOST_SIGHTINGS});
        let Many { page } = self.call(&SIGHTINGS_BETWEEN, variables).await?;
        let sightings = page.into_iter().flat_map(|page| page.edges).map(|edge| edge.node);
        Ok(sightings.min_by_key(|sighting| sighting.distance(seen_at)))
    }

    /// Says whether a sighting is one of a false positive.
    pub async fn set_negative(
        &self,
        sighting: &ShownSighting,
        negative: Negative,
    ) -> Result<(), OpenCtiError> {
        let value = match negative {
            Negative::FalsePositive => "true",
            Negative::NotFalsePositive => "false",
        };
        let input = json!([{"key": "x_opencti_negative", "value": [value]}]);
        let variables = json!({"id": sighting.id, "input": input});
        self.call::<IgnoredAny>(&SIGHTING_NEGATIVE, variables).await.map(drop)
    }

    /// The platform's own id of an object that was sent under a STIX id: lists are asked by it.
    async fn internal_id(&self, id: &str) -> Result<Option<String>, OpenCtiError> {
        let Element { object } = self.call(&INTERNAL_ID, json!({ "id": id })).await?;
        Ok(object.map(|object| object.id))
    }
}

/// The value that a sighting is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negative {
    /// One of a false positive.
    FalsePositive,
    /// One that stands.
    NotFalsePositive,
}
