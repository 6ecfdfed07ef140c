//! The sender, and the ledger of what was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, DemoConsole, Generator},
};
use reqwest::Client;
use tokio::{sync::watch, task::JoinSet};

use crate::support::{app::WEBHOOK_SECRET, stage::http};

/// Pushes under way at once.
const PUSHERS: usize = 6;
/// A sender comes back by itself, too: who answers there may be another one by then.
const COMES_BACK: Duration = Duration::from_secs(1);
/// Alerts in the largest delivery.
const LARGEST_DELIVERY: usize = 4;

/// Everything that was pushed and answered 2xx, by `alert_unique_id`.
pub(crate) struct Ledger {
    alerts: Vec<DemoAlert>,
    next: AtomicUsize,
    /// Alerts before this place may be pushed.
    released: watch::Sender<usize>,
    acknowledged: Mutex<BTreeMap<String, usize>>,
    count: watch::Sender<usize>,
    turned_away: watch::Sender<usize>,
}

impl Ledger {
    /// A ledger of this many alerts, which follow from the seed.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut generator = Generator::new(seed);
        let now = Clock::system().now();
        // A second apart: no console raises thousands at one instant.
        let raised_at = |second| now - TimeDelta::seconds(second);
        let seconds = 0..i64::try_from(count).expect("not so many");
        let alerts = seconds.rev().map(|second| generator.next_alert(raised_at(second))).collect();
        Self {
            alerts,
            next: AtomicUsize::new(0),
            released: watch::Sender::new(0),
            acknowledged: Mutex::new(BTreeMap::new()),
            count: watch::Sender::new(0),
            turned_away: watch::Sender::new(0),
        }
    }

    /// Every alert of the plan.
    pub(crate) fn alerts(&self) -> &[DemoAlert] {
        &self.alerts
    }

    /// Returns how many alerts have been answered 2xx.
    pub(crate) fn acknowledged(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until this many alerts have been answered 2xx.
    pub(crate) async fn acknowledged_at_least(&self, count: usize) {
        let mut counts = self.count.subscribe();
        counts.wait_for(|now| *now >= count).await.expect("the ledger lives as long as the test");
    }

    /// Lets the alerts before this place be pushed.
    pub(crate) fn release(&self, count: usize) {
        self.released.send_replace(count);
    }

    /// Waits until another delivery is answered 429 or 503, or until nothing is left to push.
    pub(crate) async fn one_more_turned_away(&self) {
        let (mut counts, mut turned_away) = (self.count.subscribe(), self.turned_away.subscribe());
        let (before, released) = (*turned_away.borrow_and_update(), *self.released.borrow());
        tokio::select! {
            found = turned_away.wait_for(|now| *now > before) => drop(found.unwrap()),
            found = counts.wait_for(|now| *now >= released) => drop(found.unwrap()),
        }
    }

    /// Returns how many deliveries were answered 429 or 503.
    pub(crate) fn turned_away(&self) -> usize {
        *self.turned_away.borrow()
    }

    /// The alerts of the next delivery, once they may be pushed; none when all have been taken.
    async fn take(&self, most: usize) -> &[DemoAlert] {
        let from = self.next.fetch_add(most, Ordering::Relaxed).min(self.alerts.len());
        let mut released = self.released.subscribe();
        let is_free = |released: &usize| *released > from || *released == self.alerts.len();
        drop(released.wait_for(is_free).await.expect("the ledger lives as long as the test"));
        &self.alerts[from..(from + most).min(self.alerts.len())]
    }

    /// Writes down that these were answered 2xx.
    pub(crate) fn note(&self, delivery: &[DemoAlert]) {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        for alert in delivery {
            *acknowledged.entry(alert.unique_id().to_owned()).or_default() += 1;
        }
        self.count.send_replace(acknowledged.len());
    }
}

/// Those who push.
pub(crate) struct Pushing(JoinSet<()>);

impl Pushing {
    /// Waits until they have pushed everything.
    pub(crate) async fn finish(mut self) {
        while let Some(pusher) = self.0.join_next().await {
            pusher.unwrap();
        }
    }
}

/// Starts to push to wherever the binary listens at the time.
pub(crate) fn start(
    ledger: &Arc<Ledger>,
    endpoint: &watch::Receiver<Option<String>>,
    console: &Arc<DemoConsole>,
) -> Pushing {
    let mut pushers = JoinSet::new();
    for number in 0..PUSHERS {
        let ledger = Arc::clone(ledger);
        let endpoint = endpoint.clone();
        let console = Arc::clone(console);
        let most = number % LARGEST_DELIVERY + 1;
        pushers.spawn(async move {
            // Reading the authorities of the system for each delivery would take longer than the delivery.
            let http = http();
            loop {
                let delivery = ledger.take(most).await;
                if delivery.is_empty() {
                    return;
                }
                for alert in delivery {
                    console.add_alert(alert.api_item());
                }
                push(&http, delivery, endpoint.clone(), &ledger).await;
                ledger.note(delivery);
            }
        });
    }
    Pushing(pushers)
}

/// Posts until it is answered 2xx, as a sender that repeats does.
async fn push(
    http: &Client,
    delivery: &[DemoAlert],
    mut endpoint: watch::Receiver<Option<String>>,
    ledger: &Ledger,
) {
    let body: Vec<_> = delivery.iter().map(DemoAlert::native).collect();
    loop {
        let url = endpoint.wait_for(Option::is_some).await.unwrap().clone();
        let url = url.expect("it was waited for");
        let posted = http.post(&url).header("Authorization", WEBHOOK_SECRET).json(&body).send();
        match posted.await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => {
                let status = answer.status().as_u16();
                // What stands in front of the service answers 502 and 504 for it.
                assert!(matches!(status, 429 | 502..=504), "a good delivery was answered {status}");
                ledger.turned_away.send_modify(|count| *count += 1);
            }
            // Killed between the request and the answer: nobody knows, so it comes again, to the
            // next one that listens.
            Err(_) if *endpoint.borrow() == Some(url) => {
                let _next = tokio::time::timeout(COMES_BACK, endpoint.changed()).await;
            }
            Err(_) => {}
        }
    }
}
