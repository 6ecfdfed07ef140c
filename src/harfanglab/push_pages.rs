//! The pages of pushed alerts, asked for in batches: while one request is under way, the alerts that
//! come wait (`lookup_batcher`), and the next request asks for all of them, by the stretch of time in
//! which they were raised. An alert that comes alone is asked for alone and at once, so that nobody
//! waits for company, and a burst costs a request a hundred alerts instead of one each. The neighbours
//! that a list shows beside those that are wanted are remembered: they are what is wanted next.
//!
//! Does not live here: asking for a single alert (`lookup`).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::Value;

use super::{
    Console, ConsoleError,
    lookup::unique_id,
    lookup_batcher::{Answer, Push, Waiting, key},
    pages::{Item, Listing, PAGE_LIMIT, RESULT_WINDOW, next_whole_second},
};
use crate::alert::{date, lenient::identifier_at};

/// The longest time between two alerts of one stretch.
const GAP: TimeDelta = TimeDelta::hours(1);
/// Alerts asked for in one stretch at most: no console shows more of one query than so many pages.
const STRETCH_LIMIT: usize = 100;

impl Console {
    /// The id of the page of the alert with this `alert_unique_id`, if the API shows it already. What
    /// waits for the console at the same time is asked for with one request.
    ///
    /// # Errors
    ///
    /// The console could not be asked. Those who asked together get the same error.
    pub async fn page_of_push(
        &self,
        id: &str,
        agent_id: Option<&str>,
        time: Option<DateTime<Utc>>,
    ) -> Result<Option<String>, ConsoleError> {
        let push = Push { id: id.to_owned(), agent_id: agent_id.map(str::to_owned), time };
        let batcher = self.batcher();
        loop {
            if let Some(page) = batcher.neighbours.get(&push.key()) {
                return Ok(Some(page));
            }
            let mut answered = batcher.join(push.clone());
            let _turn = tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(answer) => return answer,
                    // Who asked for this one was called off.
                    Err(_gone) => continue,
                },
                turn = batcher.turn.lock() => turn,
            };
            let waiting = batcher.take_waiting();
            // Boxed: everybody who waits could be the one who asks.
            Box::pin(self.answer(waiting)).await;
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
        }
    }

    /// Asks for everybody who waits.
    async fn answer(&self, mut waiting: Vec<Waiting>) {
        // Whoever was called off is not asked for.
        waiting.retain(|waiting| !waiting.answer.is_closed());
        waiting.sort_by_key(|waiting| waiting.push.time);
        let (pushes, listeners): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.push, waiting.answer)).unzip();
        let answers = pushes
            .chunk_by(|one, next| one.time.zip(next.time).is_some_and(|(a, b)| b - a <= GAP))
            .flat_map(|stretch| stretch.chunks(STRETCH_LIMIT))
            .map(|stretch| self.pages_of_stretch(stretch));
        let answers = join_all(answers).await.into_iter().flatten();
        for (listener, answer) in listeners.into_iter().zip(answers) {
            // Whoever was called off since does not listen.
            let _gone = listener.send(answer);
        }
    }

    /// An answer for each of these pushes, which are sorted by their time.
    async fn pages_of_stretch(&self, pushes: &[Push]) -> Vec<Answer> {
        let [Push { time: Some(first), .. }, .., Push { time: Some(last), .. }] = pushes else {
            return self.each(pushes).await;
        };
        let listed = match self.listed(pushes, *first, *last).await {
            Ok(listed) => listed,
            // It does not list in this way; a single alert may still be asked for.
            Err(ConsoleError::Refused { .. } | ConsoleError::Unaskable { .. }) => Listed::default(),
            Err(failure) => return vec![Err(failure); pushes.len()],
        };
        let absent: Vec<Push> =
            pushes.iter().filter(|push| !listed.pages.contains_key(&push.key())).cloned().collect();
        let is_none_there = absent.len() == pushes.len();
        let mut answers = match absent.split_first() {
            Some((one, rest)) if listed.is_whole && is_none_there => {
                self.one_tells(one, rest).await
            }
            Some(_) if listed.is_whole => vec![Ok(None); absent.len()],
            _ => self.each(&absent).await,
        }
        .into_iter();
        let answer = |push: &Push| match listed.pages.get(&push.key()) {
            Some(page) => Some(Ok(Some(page.clone()))),
            None => answers.next(),
        };
        pushes.iter().filter_map(answer).collect()
    }

    /// Nothing of what is wanted was listed: it is not there yet, or listed under other times. Asked
    /// for by its id, `one` tells; only if it is there, the `rest` may be, too.
    async fn one_tells(&self, one: &Push, rest: &[Push]) -> Vec<Answer> {
        let told = self.page_of_one_push(one).await;
        let rest = match &told {
            // One that cannot be asked for says nothing of the others.
            Ok(Some(_)) | Err(ConsoleError::Unaskable { .. }) => self.each(rest).await,
            told => vec![told.clone(); rest.len()],
        };
        [vec![told], rest].concat()
    }

    async fn each(&self, pushes: &[Push]) -> Vec<Answer> {
        join_all(pushes.iter().map(|push| self.page_of_one_push(push))).await
    }

    async fn page_of_one_push(&self, push: &Push) -> Answer {
        Ok(self.alert_of_push(push).await?.as_ref().and_then(page_id))
    }

    /// Returns what the console lists from the second of the `first` of `wanted` to that of its `last`, and the
    /// neighbours on the same pages. Gives up after as many pages as there are alerts to ask for.
    async fn listed(
        &self,
        wanted: &[Push],
        first: DateTime<Utc>,
        last: DateTime<Utc>,
    ) -> Result<Listed, ConsoleError> {
        let end = next_whole_second(last + TimeDelta::nanoseconds(1));
        let mut listed = Listed::default();
        let mut offset = 0;
        for _alert in wanted {
            let page = self.page(Listing::Alerts, first, None, offset, PAGE_LIMIT).await?;
            offset += u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            listed.is_whole =
                !page.has_next || page.items.iter().any(|item| is_from(item.value(), end));
            for (key, page) in page.items.iter().map(Item::value).filter_map(known) {
                self.batcher().neighbours.insert(key.clone(), page.clone());
                listed.pages.insert(key, page);
            }
            if listed.is_whole || u64::from(offset + PAGE_LIMIT) > RESULT_WINDOW {
                break;
            }
        }
        Ok(listed)
    }
}

/// The alerts that the console has in a stretch of time.
#[derive(Default)]
struct Listed {
    /// Pages by the keys of their alerts.
    pages: HashMap<String, String>,
    /// Tells that what is wanted beside them is not there.
    is_whole: bool,
}

/// An alert's key and the id of its page.
fn known(item: &Value) -> Option<(String, String)> {
    Some((key(unique_id(item)), page_id(item)?))
}

/// Returns whether an alert was raised at `time` or later.
fn is_from(item: &Value, time: DateTime<Utc>) -> bool {
    let raised_at = item.get("alert_time").and_then(Value::as_str).and_then(date::parse);
    raised_at.is_some_and(|raised_at| raised_at >= time)
}

/// The id by which the console's pages name an alert.
fn page_id(item: &Value) -> Option<String> {
    identifier_at(item, "id")
}
