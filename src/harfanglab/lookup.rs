//! One alert, one threat, one note. "Not there" is an answer (`None`), an error is not.
//!
//! A push names an alert by `alert_unique_id` (native) or not at all (ECS), never by the `id` that
//! the API and the console's own pages use, and becomes visible in the API late: within seconds as
//! a rule, minutes at worst.
//!
//! Does not live here: asking for many at once (`push_pages`).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    Console, ConsoleError,
    answer::{Answer, Request},
    lookup_batcher::Push,
    pages::{PAGE_LIMIT, Page, next_whole_second, read_page, seconds},
};
use crate::alert::{date, element, lenient::identifier_at};

/// Longest time between an alert's API time and the time that its push gives.
const MATCH_WINDOW: TimeDelta = TimeDelta::minutes(2);
/// Pages read for one match at most: 1,000 alerts of one host in four minutes.
const MATCH_PAGES: u32 = 10;

const ALERTS: [&str; 6] = ["api", "data", "alert", "alert", "Alert", ""];

impl Console {
    /// The alert of one push, if the API shows it already.
    ///
    /// That the API filters by `alert_unique_id` is not documented. A console that ignores the
    /// filter, or refuses it with 400, is asked for the alerts of the agent around the alert's time
    /// instead, when both are known.
    pub(super) async fn alert_of_push(&self, push: &Push) -> Result<Option<Value>, ConsoleError> {
        let Push { id, agent_id, time } = push;
        let query = [("alert_unique_id", id.clone()), ("limit", "10".to_owned())];
        let answer =
            self.get(&ALERTS, &query, |request, answer| read_page(request, answer, 0, 10)).await;
        match answer {
            Ok(page) => {
                // What honours the filter and has nothing does not show the alert yet.
                let is_honoured = page.items.is_empty();
                let found = values(page).find(|item| has_id(item, id));
                if found.is_some() || is_honoured {
                    return Ok(found);
                }
            }
            Err(ConsoleError::Refused { status: 400, .. }) => {}
            Err(error) => return Err(error),
        }
        match (agent_id, time) {
            (Some(agent_id), &Some(time)) => {
                let distance = |item: &Value| has_id(item, id).then(TimeDelta::zero);
                self.nearest_of_agent(agent_id, time, distance).await
            }
            _ => Ok(None),
        }
    }

    /// Returns the alert of this `alert_unique_id`, if the API shows it already.
    ///
    /// # Errors
    /// The console could not be asked.
    pub async fn alert_by_unique_id(
        &self,
        unique_id: &str,
        agent_id: Option<&str>,
        time: Option<DateTime<Utc>>,
    ) -> Result<Option<Value>, ConsoleError> {
        let (id, agent_id) = (unique_id.to_owned(), agent_id.map(str::to_owned));
        self.alert_of_push(&Push { id, agent_id, time }).await
    }

    /// The alert of this agent and rule whose time is nearest to `time`, within two minutes. This
    /// is how an alert that was pushed without an id is found again.
    pub async fn alert_matching(
        &self,
        agent_id: &str,
        rule_name: &str,
        time: DateTime<Utc>,
    ) -> Result<Option<Value>, ConsoleError> {
        let distance = |item: &Value| distance(item, agent_id, rule_name, time);
        self.nearest_of_agent(agent_id, time, distance).await
    }

    /// Of the agent's alerts around `time` the one with the least distance; one without any ends
    /// the search.
    async fn nearest_of_agent(
        &self,
        agent_id: &str,
        time: DateTime<Utc>,
        distance: impl Fn(&Value) -> Option<TimeDelta>,
    ) -> Result<Option<Value>, ConsoleError> {
        let mut nearest: Option<(TimeDelta, Value)> = None;
        let mut offset = 0;
        for _ in 0..MATCH_PAGES {
            let query = [
                ("agent.agentid", agent_id.to_owned()),
                ("alert_time__gte", seconds(time - MATCH_WINDOW)),
                ("alert_time__lte", seconds(next_whole_second(time + MATCH_WINDOW))),
                ("ordering", "alert_time".to_owned()),
                ("offset", offset.to_string()),
                ("limit", PAGE_LIMIT.to_string()),
            ];
            let read =
                |request: Request<'_>, answer| read_page(request, answer, offset, PAGE_LIMIT);
            let page = self.get(&ALERTS, &query, read).await?;
            offset += u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            let has_next = page.has_next;
            for item in values(page) {
                let Some(distance) = distance(&item) else {
                    continue;
                };
                if distance.is_zero() {
                    return Ok(Some(item));
                }
                if nearest.as_ref().is_none_or(|(best, _)| distance < *best) {
                    nearest = Some((distance, item));
                }
            }
            if !has_next {
                break;
            }
        }
        Ok(nearest.map(|(_, item)| item))
    }

    /// A threat by its id, which is an alert's `threat_key`.
    pub async fn threat(&self, id: &str) -> Result<Option<Value>, ConsoleError> {
        let path = ["api", "data", "alert", "alert", "Threat", id, ""];
        let read = |request: Request<'_>, answer: Option<Answer>| {
            let threat = object(request, answer)?;
            let is_one = ["id", "slug"].iter().any(|name| identifier_at(&threat, name).is_some());
            is_one.then_some(threat).ok_or_else(|| request.unreadable("it is no threat"))
        };
        found(self.get(&path, &[], read).await)
    }

    /// A threat's note. A threat without one is answered 200 with an empty body.
    pub async fn threat_note(&self, id: &str) -> Result<Option<Value>, ConsoleError> {
        let path = ["api", "data", "alert", "alert", "Threat", id, "note", ""];
        let read = |request: Request<'_>, answer: Option<Answer>| match answer {
            None => Ok(None),
            Some(answer) if answer.text.trim() == "null" => Ok(None),
            answer => object(request, answer).map(Some),
        };
        found(self.get(&path, &[], read).await).map(Option::flatten)
    }
}

/// Takes an answer that must be a JSON object: what is used of it.
pub(super) fn object(request: Request<'_>, answer: Option<Answer>) -> Result<Value, ConsoleError> {
    let Some(answer) = answer else {
        return Err(request.unreadable("it is not an object"));
    };
    match element::read_checked(&answer.text, request.max_values) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(request.unreadable("it is not an object")),
        Err(unread) => Err(request.unreadable(unread.to_string())),
    }
}

/// The items of a page that can be read.
pub(super) fn values(page: Page) -> impl Iterator<Item = Value> {
    page.items.into_iter().filter_map(|item| item.read.ok())
}

/// "The API has no such object" as a value.
pub(super) fn found<T>(answer: Result<T, ConsoleError>) -> Result<Option<T>, ConsoleError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the time between `time` and an item of this agent and rule; `None` when it is another's. The
/// push's time is that of the alert on some consoles, of the event behind it on others.
fn distance(item: &Value, agent: &str, rule: &str, time: DateTime<Utc>) -> Option<TimeDelta> {
    let is_its_agent = item.pointer("/agent/agentid").and_then(Value::as_str) == Some(agent);
    if !is_its_agent || text(item, "rule_name") != rule {
        return None;
    }
    ["alert_time", "@event_create_date", "detection_date"]
        .iter()
        .filter_map(|field| date::parse(text(item, field)))
        .map(|at| (at - time).abs())
        .min()
        .filter(|distance| *distance <= MATCH_WINDOW)
}

/// Returns whether an item is the alert with this `alert_unique_id`, however its letters are cased.
fn has_id(item: &Value, id: &str) -> bool {
    unique_id(item).eq_ignore_ascii_case(id)
}

/// An item's `alert_unique_id`.
pub(super) fn unique_id(item: &Value) -> &str {
    text(item, "alert_unique_id")
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}
