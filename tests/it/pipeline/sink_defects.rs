//! A sink that panics, one that takes longer than a lease, and one that hangs: the one event ends as a dead
//! letter, the others leave, nothing leaves twice, and no sink waits for another.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use harfanglab_incidents::{
    config::Settings,
    demo::{DemoAlert, Generator, Kind},
    intake::dialect::Dialect,
    journal::{DeadLetterFilter, HistoryEntry},
    opencti::{CONTINUED, Delivery, DeliveryError, Sink},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::support::{
    app::PATIENCE,
    pipeline::{TestPipeline, start},
};

/// Name of the alert at which a sink panics.
const TOUCHY: &str = "Touchy Thing";

/// Panics at one alert.
struct Touchy;

#[async_trait]
impl Sink for Touchy {
    fn name(&self) -> &'static str {
        "touchy"
    }

    fn opens_works(&self) -> bool {
        true
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let text = serde_json::to_string(&delivery.bundles).unwrap();
        assert!(!text.contains(TOUCHY), "as a defect does");
        vec![Ok(()); delivery.bundles.len()]
    }
}

/// Takes as long as it is let.
struct Slow {
    asked: watch::Sender<usize>,
    done: Semaphore,
}

#[async_trait]
impl Sink for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        self.asked.send_modify(|asked| *asked += delivery.bundles.len());
        // Closed: from now on it is quick.
        let _closed = self.done.acquire().await;
        vec![Ok(()); delivery.bundles.len()]
    }
}

fn alerts(count: usize) -> Vec<DemoAlert> {
    let mut generator = Generator::new(17);
    (0..count).map(|_| generator.alert(Kind::SelfProtection, start())).collect()
}

/// Nothing waits for the console, which shows nothing.
fn at_once(settings: &mut Settings) {
    settings.consoles[0].enrichment.first_wait = std::time::Duration::ZERO;
}

/// The newest version of an alert that was received.
async fn received(rig: &TestPipeline, alert: &DemoAlert) -> HistoryEntry {
    let story = rig.journal.event_history(alert.unique_id()).await.unwrap().unwrap();
    story.entries.into_iter().find(|chapter| chapter.follows.is_none()).unwrap()
}

#[tokio::test]
async fn an_alert_at_which_a_sink_panics_ends_as_a_dead_letter_and_holds_up_no_other() {
    let mut rig = TestPipeline::start_with(vec![Arc::new(Touchy)], at_once).await;
    rig.journal.work_opened("work_1", &[], start()).await.unwrap();
    let alerts = alerts(4);
    let mut elements: Vec<Value> = alerts.iter().map(DemoAlert::native).collect();
    elements[1]["rule_name"] = json!(TOUCHY);
    rig.push_together(Dialect::NativeAlert, &elements).await;
    let counts = rig.until("the others leave", |counts| counts.delivered == 3).await;
    assert_eq!((counts.pending, counts.dead), (1, 0), "it is tried again");
    // It may leave after the others.
    let closing = async {
        loop {
            let works = rig.journal.works_due(9, start() + TimeDelta::minutes(1)).await.unwrap();
            if let Some(closing) = works.into_iter().next().and_then(|work| work.closing) {
                return closing;
            }
            tokio::task::yield_now().await;
        }
    };
    let closing = tokio::time::timeout(PATIENCE, closing).await;
    let closing = closing.expect("what the sink had opened is to be closed");
    assert!(closing.contains(CONTINUED), "{closing}");

    let dying = async {
        loop {
            let chapter = received(&rig, &alerts[1]).await;
            if chapter.state == "dead" {
                return;
            }
            if chapter.leased_until.is_none() {
                rig.jump(TimeDelta::minutes(20));
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, dying).await.expect("it is tried for ever");
    let letters = rig.journal.dead_letters(&DeadLetterFilter::default(), 0, 9).await.unwrap();
    assert!(letters[0].reason.starts_with("a defect: delivering broke off"), "{letters:?}");
    assert_eq!(letters[0].attempts, 9);
    rig.delivered(4).await;
    assert_eq!(rig.journal.counts().await.unwrap().delivered, 3);
}

#[tokio::test]
async fn what_a_slow_sink_has_is_not_claimed_again_however_long_it_takes() {
    let slow = Arc::new(Slow { asked: watch::Sender::new(0), done: Semaphore::new(0) });
    let mut asked = slow.asked.subscribe();
    let sink: Arc<dyn Sink> = Arc::clone(&slow) as Arc<dyn Sink>;
    let rig = TestPipeline::start_with(vec![sink], at_once).await;
    let alerts = alerts(4);
    rig.push(Dialect::NativeAlert, &alerts[0].native()).await;
    tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked == 1)).await.unwrap().unwrap();
    for later in &alerts[1..] {
        // Longer than a lease. What comes now is claimed at that time, and nothing else is.
        rig.jump(TimeDelta::minutes(6));
        rig.push(Dialect::NativeAlert, &later.native()).await;
        let claimed = async {
            while received(&rig, later).await.attempts == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, claimed).await.unwrap();
        assert_eq!(received(&rig, &alerts[0]).await.attempts, 1);
    }
    slow.done.close();
    let leaving = async {
        while rig.journal.counts().await.unwrap().delivered < 4 {
            // What had waited for long enough was given back.
            let mut is_under_way = false;
            for alert in &alerts {
                is_under_way |= received(&rig, alert).await.leased_until.is_some();
            }
            if !is_under_way {
                rig.jump(TimeDelta::minutes(1));
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("not all have left");
    assert_eq!(received(&rig, &alerts[0]).await.attempts, 1);
    assert_eq!(*asked.borrow(), 4, "each left once");
}

#[tokio::test]
async fn no_other_sink_waits_for_one_that_hangs_not_even_for_a_newer_version() {
    let slow = Arc::new(Slow { asked: watch::Sender::new(0), done: Semaphore::new(0) });
    let mut asked = slow.asked.subscribe();
    let sink: Arc<dyn Sink> = Arc::clone(&slow) as Arc<dyn Sink>;
    let mut rig = TestPipeline::start_with(vec![sink], at_once).await;
    let alerts = alerts(3);
    rig.push(Dialect::NativeAlert, &alerts[0].native()).await;
    tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked == 1)).await.unwrap().unwrap();
    rig.push(Dialect::NativeAlert, &alerts[1].native()).await;
    rig.delivered(2).await;

    // Given back once it has waited for long enough, so that it takes no memory.
    let given_back = async {
        loop {
            let chapter = received(&rig, &alerts[1]).await;
            if chapter.leased_until.is_none() && chapter.attempts == 1 {
                return chapter;
            }
            tokio::task::yield_now().await;
        }
    };
    let chapter = tokio::time::timeout(PATIENCE, given_back).await.unwrap();
    assert!(chapter.reason.is_some_and(|reason| reason.contains("`slow`")));
    let mut closed = alerts[1].native();
    closed["status"] = json!("closed");
    rig.push(Dialect::NativeAlert, &closed).await;
    rig.delivered(3).await;
    rig.push(Dialect::NativeAlert, &alerts[2].native()).await;
    rig.delivered(4).await;
    assert_eq!(*asked.borrow(), 1, "what has begun to leave is waited for");
    assert_eq!(received(&rig, &alerts[0]).await.attempts, 1, "with its lease");

    slow.done.close();
    rig.until("the first has left", |counts| counts.delivered == 1).await;
    rig.jump(TimeDelta::minutes(1));
    let counts = rig.until("all have left", |counts| counts.delivered == 3).await;
    assert_eq!((counts.superseded, counts.pending), (1, 0), "by the newer version");
    assert_eq!(*asked.borrow(), 3);
    rig.delivered(4).await;
}
