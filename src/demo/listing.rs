//! A list request of the simulated console: filters, order, page, and what is refused. Refuses with
//! 400 an unknown filter, a date with fractions of a second, a missing limit on alerts, and what
//! lies beyond the result window.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::store::{Collection, Record, Records, field_text};
use crate::harfanglab::RESULT_WINDOW;

/// Filters whose value is a comma list.
const LISTS: [&str; 4] = ["status", "alert_type", "level", "maturity"];
/// Items on a page when no limit is asked for.
const DEFAULT_LIMIT: usize = 25;

/// The answer of a list.
#[derive(Serialize)]
pub(super) struct ListAnswer<'a> {
    count: usize,
    next: Option<String>,
    previous: Option<String>,
    results: Vec<&'a Value>,
}

/// A list request, understood.
pub(super) struct Listing {
    filters: Vec<Filter>,
    order: (usize, Direction),
    offset: usize,
    limit: usize,
}

enum Filter {
    Exact { field: String, values: Vec<String> },
    Time { index: usize, comparison: Comparison, time: DateTime<Utc> },
}

#[derive(Clone, Copy)]
enum Comparison {
    After,
    AtOrAfter,
    Before,
    AtOrBefore,
}

#[derive(Clone, Copy)]
enum Direction {
    Ascending,
    Descending,
}

/// The reason for which a list request is refused: the parameter and a reason.
pub(super) type Refusal = (String, String);

impl Listing {
    /// Understands a query.
    pub(super) fn read(
        collection: Collection,
        query: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let order = (0, Direction::Ascending);
        let mut listing = Self { filters: Vec::new(), order, offset: 0, limit: 0 };
        let mut limit = None;
        for (name, value) in query {
            match name.as_str() {
                "offset" => listing.offset = number(name, value)?,
                "limit" => limit = Some(number(name, value)?),
                "ordering" => listing.order = order_by(collection, value)?,
                "from" => listing.filters.push(since(value)?),
                name => listing.filters.push(filter(collection, name, value)?),
            }
        }
        // Dates were read once and cost little to compare.
        listing.filters.sort_by_key(|filter| matches!(filter, Filter::Exact { .. }));
        if limit.is_none() && collection == Collection::Alerts {
            return Err(("limit".to_owned(), "This field is required.".to_owned()));
        }
        listing.limit = limit.unwrap_or(DEFAULT_LIMIT);
        if (listing.offset + listing.limit) as u64 > RESULT_WINDOW {
            let reason = format!("Result window is too large: at most {RESULT_WINDOW}.");
            return Err(("offset".to_owned(), reason));
        }
        Ok(listing)
    }

    /// Drops the filters on one field, as a console that does not know it might.
    pub(super) fn ignore(&mut self, ignored: &str) {
        self.filters
            .retain(|filter| !matches!(filter, Filter::Exact { field, .. } if field == ignored));
    }

    /// The page.
    pub(super) fn answer<'a>(
        &self,
        records: &'a Records,
        path: &str,
        query: &[(String, String)],
    ) -> ListAnswer<'a> {
        let mut hits: Vec<&Record> =
            records.iter().filter(|record| self.filters.iter().all(|f| f.passes(record))).collect();
        match self.order {
            // Records already stand in this order.
            (0, Direction::Ascending) => {}
            (index, Direction::Ascending) => hits.sort_by_key(|record| record.times[index]),
            (index, Direction::Descending) => {
                hits.sort_by_key(|record| Reverse(record.times[index]));
            }
        }
        let count = hits.len();
        let page = hits.into_iter().skip(self.offset).take(self.limit);
        let results: Vec<&Value> = page.map(|record| &record.item).collect();
        let next = (self.offset + self.limit < count)
            .then(|| page_link(path, query, self.offset + self.limit));
        let previous = (self.offset > 0)
            .then(|| page_link(path, query, self.offset.saturating_sub(self.limit)));
        ListAnswer { count, next, previous, results }
    }
}

impl Filter {
    fn passes(&self, record: &Record) -> bool {
        match self {
            Self::Exact { field, values } => field_text(&record.item, field)
                .is_some_and(|text| values.iter().any(|value| *value == text)),
            Self::Time { index, comparison, time } => {
                let Some(at) = record.times[*index] else {
                    return false;
                };
                match comparison {
                    Comparison::After => at > *time,
                    Comparison::AtOrAfter => at >= *time,
                    Comparison::Before => at < *time,
                    Comparison::AtOrBefore => at <= *time,
                }
            }
        }
    }
}

fn filter(collection: Collection, name: &str, value: &str) -> Result<Filter, Refusal> {
    let (field, operator) = name.split_once("__").unwrap_or((name, "exact"));
    let comparison = match operator {
        "exact" if collection.exact().contains(&field) => {
            let values = if LISTS.contains(&field) {
                value.split(',').map(str::to_owned).collect()
            } else {
                vec![value.to_owned()]
            };
            return Ok(Filter::Exact { field: field.to_owned(), values });
        }
        "gt" => Some(Comparison::After),
        "gte" => Some(Comparison::AtOrAfter),
        "lt" => Some(Comparison::Before),
        "lte" => Some(Comparison::AtOrBefore),
        _ => None,
    };
    let index = collection.times().iter().position(|time| *time == field);
    match (comparison, index) {
        (Some(comparison), Some(index)) => {
            Ok(Filter::Time { index, comparison, time: whole_seconds(name, value)? })
        }
        _ => Err((name.to_owned(), "Unknown filter.".to_owned())),
    }
}

fn since(value: &str) -> Result<Filter, Refusal> {
    let time = whole_seconds("from", value)?;
    Ok(Filter::Time { index: 0, comparison: Comparison::AtOrAfter, time })
}

fn order_by(collection: Collection, value: &str) -> Result<(usize, Direction), Refusal> {
    let (direction, field) = match value.strip_prefix('-') {
        Some(field) => (Direction::Descending, field),
        None => (Direction::Ascending, value.trim_start_matches(['+', ' '])),
    };
    match collection.times().iter().position(|time| *time == field) {
        Some(index) => Ok((index, direction)),
        None => Err(("ordering".to_owned(), "Unknown field.".to_owned())),
    }
}

fn whole_seconds(name: &str, value: &str) -> Result<DateTime<Utc>, Refusal> {
    let time = DateTime::parse_from_rfc3339(value).ok().filter(|_| !value.contains('.'));
    time.map(|time| time.to_utc())
        .ok_or_else(|| (name.to_owned(), "Enter a valid date/time in whole seconds.".to_owned()))
}

fn number(name: &str, value: &str) -> Result<usize, Refusal> {
    value.parse().map_err(|_| (name.to_owned(), "A valid integer is required.".to_owned()))
}

/// A relative link, as the console gives.
fn page_link(path: &str, query: &[(String, String)], offset: usize) -> String {
    let offset = ("offset".to_owned(), offset.to_string());
    let others = query.iter().filter(|(name, _)| name != "offset");
    let mut link = url::form_urlencoded::Serializer::new(format!("{path}?"));
    link.extend_pairs(others.chain([&offset]));
    link.finish()
}
