//! A second in which more alerts were raised than the console shows of one query. Whole seconds are
//! the finest it can be asked by, so such a second is asked for level by level, then status by
//! status, then type by type, until each query fits.
//!
//! The three are filters that working integrations of other products use, each by value. Values are
//! those that are known and those that were met; what has none cannot be asked for, so that a second
//! whose alerts cannot be shown to be complete is an error, and the cursor stays before it.
//!
//! A backfill of some types, or up to a date within the second, asks for no others here either.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Found, Sweep, SweepError, reading::Stretch};
use crate::harfanglab::{Filter, PAGE_LIMIT, Page, RESULT_WINDOW};

/// Fields that narrow a query, and the values known for them.
const DIMENSIONS: [(Filter, &[&str]); 3] = [
    (Filter::Level, &["informational", "low", "medium", "high", "critical"]),
    (
        Filter::Status,
        &["new", "investigating", "probable_false_positive", "false_positive", "closed"],
    ),
    (
        Filter::AlertType,
        &[
            "sigma",
            "yara",
            "ioc",
            "driver",
            "hurukaiav",
            "selfprotection",
            "correlation",
            "ransom",
            "hlai",
            "vt",
            "glimps",
            "orion",
            "unknown",
        ],
    ),
];

/// The alerts that have been seen of the second.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    values: [BTreeSet<String>; DIMENSIONS.len()],
    /// The number of alerts that the console says the second has, if it counts beyond its window.
    count: u64,
    /// True where some alert has none of the values by which it could be asked for.
    has_unnamed: bool,
}

impl Sweep {
    /// Sweeps all alerts of `second` that `stretch` asks for.
    pub(super) async fn sweep_crowded(
        &self,
        second: DateTime<Utc>,
        stretch: &Stretch<'_>,
    ) -> Result<Found, SweepError> {
        let mut seen = Seen::default();
        let mut found = Found::default();
        let mut queries: Vec<Vec<(Filter, String)>> = vec![Vec::new()];
        while let Some(narrowed) = queries.pop() {
            let (more, is_all) = self.sweep_narrowed(second, &narrowed, stretch, &mut seen).await?;
            found.add(more);
            if is_all {
                continue;
            }
            // Asked by more, and value by value: what the window hides is behind one of them.
            let depth = narrowed.len();
            let Some((filter, known)) = DIMENSIONS.get(depth) else {
                return Err(SweepError::WindowFull(second));
            };
            let asked_for = stretch.narrowed.iter().find(|(asked, _values)| asked == filter);
            let met = seen.values[depth].iter().map(String::as_str);
            let values: BTreeSet<&str> = match asked_for {
                Some((_filter, values)) => values.split(',').collect(),
                None => known.iter().copied().chain(met).collect(),
            };
            queries.extend(values.into_iter().map(|value| {
                let mut narrower = narrowed.clone();
                narrower.push((*filter, value.to_owned()));
                narrower
            }));
        }
        let is_complete = if seen.count > RESULT_WINDOW {
            seen.ids.len() as u64 >= seen.count
        } else {
            !seen.has_unnamed
        };
        if is_complete { Ok(found) } else { Err(SweepError::WindowFull(second)) }
    }

    /// Sweeps what one query shows; with `false` when it may hold more than it shows.
    async fn sweep_narrowed(
        &self,
        second: DateTime<Utc>,
        narrowed: &[(Filter, String)],
        stretch: &Stretch<'_>,
        seen: &mut Seen,
    ) -> Result<(Found, bool), SweepError> {
        let mut found = Found::default();
        let end = second + TimeDelta::seconds(1);
        let until = stretch.until.map_or(end, |until| until.min(end));
        let of_stretch = stretch.narrowed.iter();
        let of_stretch =
            of_stretch.filter(|(of, _)| narrowed.iter().all(|(filter, _)| filter != of));
        let filters: Vec<_> = narrowed.iter().chain(of_stretch).cloned().collect();
        let mut offset = 0;
        loop {
            self.keep_pace(stretch.pace).await?;
            let asked =
                self.console.narrowed_alert_page(second, until, &filters, offset, PAGE_LIMIT);
            let page: Page = stretch.pace.unless_called_off(asked).await??;
            if narrowed.is_empty() {
                seen.count = seen.count.max(page.count.unwrap_or_default());
            }
            page.items.iter().for_each(|item| seen.note(item.value()));
            let count = u32::try_from(page.items.len()).unwrap_or(PAGE_LIMIT);
            found.add(self.append(stretch, page.items).await?);
            if !page.has_next || count == 0 {
                return Ok((found, true));
            }
            offset += count;
            if u64::from(offset + PAGE_LIMIT) > RESULT_WINDOW {
                return Ok((found, false));
            }
        }
    }
}

impl Seen {
    fn note(&mut self, item: &Value) {
        let text = |field: &str| item.get(field).and_then(Value::as_str);
        if let Some(id) = text("id").or_else(|| text("alert_unique_id")) {
            self.ids.insert(id.to_owned());
        }
        for ((filter, _), met) in DIMENSIONS.iter().zip(&mut self.values) {
            match text(filter.field()) {
                Some(value) => {
                    met.insert(value.to_owned());
                }
                None => self.has_unnamed = true,
            }
        }
    }
}
