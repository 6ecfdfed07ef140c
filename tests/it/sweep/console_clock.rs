//! A console whose clock differs from ours: what changes there is still told, and in its order.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{demo::Generator, sweep::Pushes};

use crate::support::manual_sweep::{ManualSweep, change, minute};

/// One alert on a console, and a service that sweeps it by a clock of its own.
struct Skewed {
    by_hand: Arc<ManualSweep>,
    alert: String,
}

impl Skewed {
    /// The alert was raised a minute ago, by the console's clock, which is `ahead` of ours.
    async fn new(ahead: TimeDelta) -> Self {
        let by_hand = ManualSweep::start(Pushes::NotTaken, |_console, _entry| {}).await;
        let alert = Generator::new(50).next_alert(minute(-1) + ahead);
        by_hand.console.add_alert(alert.api_item());
        Self { by_hand, alert: alert.unique_id().to_owned() }
    }

    /// An analyst changes the alert; `shown` is what the console's clock says then.
    fn change(&self, status: &str, shown: DateTime<Utc>) {
        change(&self.by_hand.console, &self.alert, status, shown);
    }

    /// Sweeps `minute` minutes after the beginning, by our clock; answers how much was new.
    async fn sweep_at(&self, minute: i64) -> usize {
        self.by_hand.at(minute).await.new
    }
}

#[tokio::test]
async fn what_changes_after_a_console_s_fast_clock_was_set_right_does_not_look_old() {
    let ahead = TimeDelta::hours(2);
    let skewed = Skewed::new(ahead).await;
    assert_eq!(skewed.sweep_at(0).await, 1);
    skewed.change("closed", minute(5) + ahead);
    assert_eq!(skewed.sweep_at(10).await, 1);
    skewed.change("investigating", minute(15) + ahead);
    assert_eq!(skewed.sweep_at(20).await, 1, "by the console's own dates");

    // Its clock is right from now on: the dates of before still lie ahead.
    for (at, status) in [(30, "false_positive"), (40, "closed"), (50, "investigating")] {
        skewed.change(status, minute(at));
        assert_eq!(skewed.sweep_at(at + 5).await, 1, "{status} is new");
        assert_eq!(skewed.sweep_at(at + 6).await, 0, "{status} is known");
    }
    // They have come to pass.
    skewed.change("closed", minute(200));
    assert_eq!(skewed.sweep_at(205).await, 1);
    let counts = skewed.by_hand.journal.counts().await.unwrap();
    assert_eq!(counts.superseded, 0, "nothing was taken for old");
}

#[tokio::test]
async fn what_changes_on_a_console_whose_clock_is_slow_is_found_by_the_next_sweep() {
    let behind = TimeDelta::hours(-2);
    let skewed = Skewed::new(behind).await;
    assert_eq!(skewed.sweep_at(0).await, 1);
    skewed.change("closed", minute(5) + behind);
    assert_eq!(skewed.sweep_at(10).await, 1);
    skewed.change("new", minute(15) + behind);
    assert_eq!(skewed.sweep_at(20).await, 1);
    assert_eq!(skewed.sweep_at(30).await, 0);
}
