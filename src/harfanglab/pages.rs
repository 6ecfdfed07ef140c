//! Pages of alerts and threats, oldest first, by an offset of our own: `next` is a relative path on
//! some consoles and an absolute address on others, and behind a proxy neither need be right.
//!
//! The operator's filter is never sent: it is applied once, after the journal. Filters only narrow
//! a query that holds more than the console shows of one.

use chrono::{DateTime, Datelike as _, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde_json::Value;

use super::{
    Console, ConsoleError,
    answer::{Answer, Request},
};
use crate::alert::element::{self, Unread};

/// Items asked for at once: what other integrations ask for without trouble.
pub const PAGE_LIMIT: u32 = 100;
/// Items one query can reach, whatever its offset; a query that has this many must be split by time.
pub const RESULT_WINDOW: u64 = 10_000;

/// The last year that a date may name.
const LAST_YEAR: i32 = 9999;

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// As the console wrote it.
    pub text: String,
    /// The part of it that is used.
    pub read: Result<Value, Unread>,
}

impl Item {
    /// Returns the part of it that is used; null where it cannot be read.
    pub fn value(&self) -> &Value {
        self.read.as_ref().unwrap_or(&Value::Null)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The number of items that the query has in all, as the console says; some stop at [`RESULT_WINDOW`].
    pub count: Option<u64>,
    /// The items as they came.
    pub items: Vec<Item>,
    /// True where a further page has items. Its offset is this one's plus the number of items here.
    pub has_next: bool,
}

/// By what a list of alerts can be narrowed: the fields by which other products filter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// `level`.
    Level,
    /// `status`.
    Status,
    /// `alert_type`.
    AlertType,
}

impl Filter {
    /// The parameter, which is also the field's name in an item.
    pub fn field(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Status => "status",
            Self::AlertType => "alert_type",
        }
    }
}

/// A list that is read page by page, and the date by which it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Alerts by `alert_time`.
    Alerts,
    /// Threats by `creation_date`.
    Threats,
    /// Alerts by `last_update`: what has changed.
    ChangedAlerts,
    /// Threats by `last_update`.
    ChangedThreats,
}

impl Listing {
    /// The same, by what has changed.
    #[must_use]
    pub fn changes(self) -> Self {
        match self {
            Self::Alerts | Self::ChangedAlerts => Self::ChangedAlerts,
            Self::Threats | Self::ChangedThreats => Self::ChangedThreats,
        }
    }
}

impl Console {
    /// A page of what the listing has with `since` ≤ its date < `until`, by that date. The console
    /// compares whole seconds, so `since` is rounded down and `until` up. `limit` is at most
    /// [`PAGE_LIMIT`] by custom.
    pub async fn page(
        &self,
        listing: Listing,
        since: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        offset: u32,
        limit: u32,
    ) -> Result<Page, ConsoleError> {
        self.page_of(listing.list(), since, until, &[], offset, limit).await
    }

    /// As [`Console::page`], of the alerts that have all of these values.
    pub async fn narrowed_alert_page(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
        narrowed: &[(Filter, String)],
        offset: u32,
        limit: u32,
    ) -> Result<Page, ConsoleError> {
        self.page_of(&ALERTS, since, Some(until), narrowed, offset, limit).await
    }

    async fn page_of(
        &self,
        list: &List,
        since: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        narrowed: &[(Filter, String)],
        offset: u32,
        limit: u32,
    ) -> Result<Page, ConsoleError> {
        let mut query = list.between(since, until);
        query.extend(narrowed.iter().map(|(filter, value)| (filter.field(), value.clone())));
        query.push(("ordering", list.ordering.to_owned()));
        query.push(("offset", offset.to_string()));
        query.push(("limit", limit.to_string()));
        let read = |request: Request<'_>, answer| read_page(request, answer, offset, limit);
        self.get(&list.path, &query, read).await
    }
}

/// A list that is read page by page, and the date it is read by.
struct List {
    path: [&'static str; 6],
    ordering: &'static str,
    at_or_after: &'static str,
    before: &'static str,
}

const ALERTS: List = List {
    path: ["api", "data", "alert", "alert", "Alert", ""],
    ordering: "alert_time",
    at_or_after: "alert_time__gte",
    before: "alert_time__lt",
};

const CHANGED_ALERTS: List = List {
    ordering: "last_update",
    at_or_after: "last_update__gte",
    before: "last_update__lt",
    ..ALERTS
};

const THREATS: List = List {
    path: ["api", "data", "alert", "alert", "Threat", ""],
    ordering: "creation_date",
    at_or_after: "creation_date__gte",
    before: "creation_date__lt",
};

const CHANGED_THREATS: List = List {
    ordering: "last_update",
    at_or_after: "last_update__gte",
    before: "last_update__lt",
    ..THREATS
};

impl Listing {
    fn list(self) -> &'static List {
        match self {
            Self::Alerts => &ALERTS,
            Self::Threats => &THREATS,
            Self::ChangedAlerts => &CHANGED_ALERTS,
            Self::ChangedThreats => &CHANGED_THREATS,
        }
    }
}

impl List {
    fn between(
        &self,
        since: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
    ) -> Vec<(&'static str, String)> {
        let mut query = vec![(self.at_or_after, seconds(since))];
        if let Some(until) = until {
            query.push((self.before, seconds(next_whole_second(until))));
        }
        query
    }
}

/// Reads `{count, next, results}`; without `results` it is not a list, and with more items than were
/// asked for it is not what was asked for.
pub(super) fn read_page(
    request: Request<'_>,
    answer: Option<Answer>,
    offset: u32,
    limit: u32,
) -> Result<Page, ConsoleError> {
    let answer = answer.filter(|answer| answer.text.trim_start().starts_with('{'));
    let text = &answer.ok_or_else(|| request.unreadable("it is not a list"))?.text;
    let results = element::field(text, "results").filter(|results| results.starts_with('['));
    let results = results.ok_or_else(|| request.unreadable("it has no `results`"))?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    if element::items(results).nth(most).is_some() {
        return Err(request.unreadable(format!("it has more than the {limit} items asked for")));
    }
    let items: Vec<Item> = element::items(results)
        .map(|text| Item {
            text: text.to_owned(),
            read: element::read_checked(text, request.max_values),
        })
        .collect();
    let count = element::field(text, "count").and_then(|count| count.parse().ok());
    let next = element::field(text, "next");
    let reached = u64::from(offset) + items.len() as u64;
    let has_next = !items.is_empty()
        && match (next, count) {
            (Some(next), _) if next.starts_with('"') => true,
            (_, Some(count)) => reached < count,
            (Some("null"), None) => false,
            (_, None) => items.len() as u64 >= u64::from(limit),
        };
    Ok(Page { count, items, has_next })
}

/// The one form of date that every console takes: whole seconds, `Z`, and a year of four digits.
pub(super) fn seconds(time: DateTime<Utc>) -> String {
    if time.year() > LAST_YEAR {
        return format!("{LAST_YEAR}-12-31T23:59:59Z");
    }
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `time`, rounded up to a whole second.
pub(super) fn next_whole_second(time: DateTime<Utc>) -> DateTime<Utc> {
    let whole = time.trunc_subsecs(0);
    if whole == time { time } else { whole + TimeDelta::seconds(1) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::alert::element::MaxValues;

    fn read(answer: Value) -> Result<Page, ConsoleError> {
        let (timeout, max_values) = (Duration::ZERO, MaxValues(20));
        let limit_bytes = 1 << 20;
        let request = Request { path: "/list/", timeout, token: "", max_values, limit_bytes };
        read_page(request, Some(answer.into()), 100, 2)
    }

    #[test]
    fn a_list_goes_on_while_the_console_says_so_or_a_page_is_full() {
        for (answer, has_next) in [
            (json!({"next": "/list/?offset=102", "results": [1, 2]}), true),
            (json!({"next": "https://other/?offset=102", "count": 300, "results": [1, 2]}), true),
            (json!({"next": null, "count": 102, "results": [1, 2]}), false),
            (json!({"count": 103, "results": [1, 2]}), true),
            (json!({"results": [1, 2]}), true),
            (json!({"results": [1]}), false),
            (json!({"next": null, "results": [1, 2]}), false),
            (json!({"next": "/list/?offset=102", "results": []}), false),
        ] {
            assert_eq!(read(answer.clone()).unwrap().has_next, has_next, "{answer}");
        }
    }

    #[test]
    fn a_page_larger_than_asked_for_is_refused_before_anything_is_built_of_it() {
        for item in [json!(1), json!([[]]), json!({"": 0}), json!({"id": "a"})] {
            let page = json!({"results": vec![item; 3]});
            assert!(read(page).unwrap_err().to_string().contains("more than the 2 items"));
        }
        let page =
            read(json!({"results": [{"id": "a", "tags": vec![1; 50]}, {"id": "b"}]})).unwrap();
        assert_eq!(page.items[0].read, Err(Unread::TooManyValues(20)));
        assert_eq!(page.items[1].value(), &json!({"id": "b"}));
    }

    #[test]
    fn what_has_no_results_is_no_list_and_an_empty_one_is() {
        for answer in [json!({"count": 0}), json!([]), json!({"results": null}), json!("hello")] {
            assert!(read(answer.clone()).unwrap_err().is_transient(), "{answer}");
        }
        assert_eq!(read(json!({"results": []})).unwrap().items, []);
    }

    #[test]
    fn a_stretch_of_time_is_asked_for_in_whole_seconds_and_never_shrinks() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let query = |until| ALERTS.between(at("2026-03-01T10:00:00.999Z"), Some(until));
        let expected = |until: &str| {
            vec![
                ("alert_time__gte", "2026-03-01T10:00:00Z".to_owned()),
                ("alert_time__lt", until.to_owned()),
            ]
        };
        assert_eq!(query(at("2026-03-01T11:00:00Z")), expected("2026-03-01T11:00:00Z"));
        assert_eq!(
            seconds(at("9999-12-31T23:59:59.5Z") + TimeDelta::days(2)),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(query(at("2026-03-01T11:00:00.001Z")), expected("2026-03-01T11:00:01Z"));
    }
}
