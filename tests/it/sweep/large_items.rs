//! Items of the console that are too large to be read.

use chrono::TimeDelta;
use harfanglab_incidents::{demo::Generator, sweep::Pushes};

use crate::support::manual_sweep::{ManualSweep, minute};

#[tokio::test]
async fn an_alert_too_large_to_be_read_does_not_keep_those_around_it_from_being_found() {
    let by_hand = ManualSweep::start(Pushes::NotTaken, |_console, _entry| {}).await;
    let mut generator = Generator::new(51);
    for number in 0..3 {
        let raised_at = minute(-10) + TimeDelta::minutes(number);
        let mut item = generator.next_alert(raised_at).api_item();
        if number == 1 {
            item["unheard_of"] = "x".repeat(17 << 20).into();
        }
        by_hand.console.add_alert(item);
    }
    assert_eq!(by_hand.at(0).await.new, 2);
}
