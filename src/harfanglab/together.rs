//! The pages of pushed alerts, asked for together: while one request is under way, the alerts that
//! come wait, and the next request asks for all of them, by the stretch of time in which they were
//! raised. An alert that comes alone is asked for alone and at once, so that nobody waits for
//! company, and a burst costs a request a hundred alerts instead of one each.
//!
//! Does not live here: asking for a single alert (`lookup`).

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, oneshot};

use super::{
    Console, ConsoleError,
    lookup::unique_id,
    pages::{Listing, PAGE_LIMIT},
};

/// The longest time between two alerts of one stretch.
const GAP: TimeDelta = TimeDelta::seconds(10);
/// Alerts asked for in one stretch at most.
const STRETCH_LIMIT: usize = 1_000;

type Answer = Result<Option<Value>, ConsoleError>;

/// A push whose alert is asked for.
#[derive(Debug, Clone)]
pub(super) struct Push {
    /// Its `alert_unique_id`.
    pub(super) id: String,
    /// The agent that raised it.
    pub(super) agent_id: Option<String>,
    /// When it was raised, as the push says.
    pub(super) time: Option<DateTime<Utc>>,
}

/// A push, and who waits for the answer.
struct Waiting {
    push: Push,
    answer: oneshot::Sender<Answer>,
}

/// Who waits for an alert, and whose turn it is to ask.
#[derive(Default)]
pub(super) struct Together {
    waiting: Mutex<Vec<Waiting>>,
    turn: Turn<()>,
}

impl Together {
    fn join(&self, push: Push) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.waiting().push(Waiting { push, answer });
        answered
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// The alert with this `alert_unique_id`, if the API shows it already. What waits for the console
    /// at the same time is asked for with one request.
    ///
    /// # Errors
    ///
    /// The console could not be asked. Those who asked together get the same error.
    pub async fn alert_of_push(
        &self,
        id: &str,
        agent_id: Option<&str>,
        time: Option<DateTime<Utc>>,
    ) -> Result<Option<Value>, ConsoleError> {
        let push = Push { id: id.to_owned(), agent_id: agent_id.map(str::to_owned), time };
        let together = self.together();
        loop {
            let mut answered = together.join(push.clone());
            let _turn = tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(answer) => return answer,
                    // Who asked for this one was called off.
                    Err(_gone) => continue,
                },
                turn = together.turn.lock() => turn,
            };
            let waiting = std::mem::take(&mut *together.waiting());
            // Boxed: everybody who waits could be the one who asks.
            Box::pin(self.answer(waiting)).await;
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
        }
    }

    /// Asks for everybody who waits.
    async fn answer(&self, mut waiting: Vec<Waiting>) {
        waiting.sort_by_key(|waiting| waiting.push.time);
        let (pushes, listeners): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.push, waiting.answer)).unzip();
        let answers = pushes
            .chunk_by(|one, next| one.time.zip(next.time).is_some_and(|(a, b)| b - a <= GAP))
            .flat_map(|stretch| stretch.chunks(STRETCH_LIMIT))
            .map(|stretch| self.alerts_of_stretch(stretch));
        let answers = join_all(answers).await.into_iter().flatten();
        for (listener, answer) in listeners.into_iter().zip(answers) {
            // Whoever was called off does not listen.
            let _gone = listener.send(answer);
        }
    }

    /// An answer for each of these pushes, which are sorted by their time.
    async fn alerts_of_stretch(&self, pushes: &[Push]) -> Vec<Answer> {
        let [Push { time: Some(first), .. }, .., Push { time: Some(last), .. }] = pushes else {
            return self.each(pushes).await;
        };
        let listed = match self.listed(pushes, *first, *last).await {
            Ok(listed) => listed,
            // It does not list in this way; a single alert may still be asked for.
            Err(ConsoleError::Refused { .. }) => Listed::default(),
            Err(failure) => return vec![Err(failure); pushes.len()],
        };
        let (there, absent): (Vec<_>, Vec<_>) =
            pushes.iter().cloned().partition(|push| listed.alerts.contains_key(&push.key()));
        let absent = match absent.split_first() {
            None => Vec::new(),
            Some(_) if listed.is_whole && !there.is_empty() => vec![Ok(None); absent.len()],
            // Nothing of what is wanted: not there yet, or listed under other times. One tells.
            Some((one, rest)) if listed.is_whole => {
                let told = self.alert_of_one_push(one).await;
                let rest = match &told {
                    Ok(Some(_)) => self.each(rest).await,
                    told => vec![told.clone(); rest.len()],
                };
                [vec![told], rest].concat()
            }
            Some(_) => self.each(&absent).await,
        };
        let mut absent = absent.into_iter();
        let answer = |push: &Push| match listed.alerts.get(&push.key()) {
            Some(alert) => Some(Ok(Some(alert.clone()))),
            None => absent.next(),
        };
        pushes.iter().filter_map(answer).collect()
    }

    async fn each(&self, pushes: &[Push]) -> Vec<Answer> {
        join_all(pushes.iter().map(|push| self.alert_of_one_push(push))).await
    }

    /// Those of `wanted` that the console lists from the second of `first` to that of `last`. Gives
    /// up where the console has many more alerts in that time.
    async fn listed(
        &self,
        wanted: &[Push],
        first: DateTime<Utc>,
        last: DateTime<Utc>,
    ) -> Result<Listed, ConsoleError> {
        let keys: HashSet<String> = wanted.iter().map(Push::key).collect();
        let until = last + TimeDelta::seconds(1);
        // The first and the last second have others, too.
        let most = u32::try_from(wanted.len()).unwrap_or(u32::MAX).saturating_add(PAGE_LIMIT);
        let mut listed = Listed::default();
        let mut offset = 0;
        while offset < most {
            let page = self.page(Listing::Alerts, first, Some(until), offset, PAGE_LIMIT).await?;
            offset += u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            let items = page.items.into_iter().map(|item| (key(unique_id(&item)), item));
            listed.alerts.extend(items.filter(|(key, _item)| keys.contains(key)));
            listed.is_whole = listed.alerts.len() == keys.len() || !page.has_next;
            if listed.is_whole || page.count.is_some_and(|count| count > u64::from(most)) {
                break;
            }
        }
        Ok(listed)
    }
}

/// What the console has in a stretch of time.
#[derive(Default)]
struct Listed {
    /// Those that are wanted, by their keys.
    alerts: HashMap<String, Value>,
    /// Whether the others are not there.
    is_whole: bool,
}

impl Push {
    fn key(&self) -> String {
        key(&self.id)
    }
}

/// Ids are compared whatever their case.
fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}
