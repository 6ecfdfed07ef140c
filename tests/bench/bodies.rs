//! The time of an alert by the size of its body: it must not grow. The same alerts are posted
//! in bodies of 100, 1,000 and 10,000, over one connection, each size into a new journal of either
//! database. Every acknowledged alert is looked for afterwards.

use std::sync::Arc;

use harfanglab_incidents::{clock::Clock, demo::Generator};

use crate::{
    Plan,
    endpoint::{Behind, Endpoint},
    load,
    support::stores::Database,
    table::{Bar, Figures, Row},
};

/// Alerts of a round, and so of the largest body: as many as one may hold.
const ALERTS: usize = 10_000;
/// Alerts of a body.
const SIZES: [usize; 3] = [100, 1_000, ALERTS];
/// Between the slowest and the fastest size.
const FACTOR_MAX: f64 = 1.5;
/// Seconds for the largest body: its sender is asked to come back after that.
const LARGEST_SECONDS_MAX: f64 = 10.0;

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for (database, name) in [(Database::Sqlite, "SQLite"), (Database::Postgres, "PostgreSQL")] {
        rows.extend(of_database(plan, database, name).await);
    }
    rows
}

async fn of_database(plan: &Plan, database: Database, name: &str) -> Vec<Row> {
    let mut each = [const { Vec::new() }; SIZES.len()];
    // The first round warms up.
    for round in 0..=plan.rounds {
        for (size, each) in SIZES.into_iter().zip(&mut each) {
            let seconds = post_in_bodies_of(size, database, round).await;
            if round > 0 {
                each.push(seconds);
            }
        }
    }
    let count = f64::from(u32::try_from(ALERTS).expect("it is a small number"));
    let mut rows: Vec<Row> = SIZES
        .into_iter()
        .zip(&each)
        .map(|(size, seconds)| {
            let an_alert: Vec<f64> = seconds.iter().map(|seconds| seconds * 1e3 / count).collect();
            Row::alone(format!("{name}, an alert in bodies of {size}"), "ms", an_alert.into())
        })
        .collect();
    let medians = rows.iter().map(|row| row.ours.median());
    let (least, most) = medians
        .fold((f64::MAX, 0.0_f64), |(least, most), median| (least.min(median), most.max(median)));
    let factor = Row::alone(
        format!("{name}, between the slowest and the fastest size"),
        "×",
        Figures::one(most / least),
    );
    let largest = format!("{name}, a body of {ALERTS} answered");
    let [_, _, seconds] = each;
    rows.push(factor.bar(Bar::AtMost(FACTOR_MAX)));
    rows.push(Row::alone(largest, "s", seconds.into()).bar(Bar::AtMost(LARGEST_SECONDS_MAX)));
    rows
}

/// Posts all alerts; answers the seconds until the last answer.
async fn post_in_bodies_of(size: usize, database: Database, round: usize) -> f64 {
    let mut generator = Generator::new(round as u64);
    let now = Clock::system().now();
    let alerts: Vec<String> =
        (0..ALERTS).map(|_| generator.next_alert(now).native().to_string()).collect();
    let endpoint = Endpoint::open(Behind::Journal(database)).await;
    let body =
        |alerts: &[String]| load::request(&endpoint.path, &format!("[{}]", alerts.join(",")));
    let requests = Arc::new(alerts.chunks(size).map(body).collect());
    let (took, answered) = load::closed_loop(endpoint.address, &requests, 1).await;
    let refused = answered.iter().find(|answer| answer.status != 202);
    assert!(refused.is_none(), "the endpoint refused: {refused:?}");
    let kept = endpoint.end().await.map_or(0, |kept| kept.len());
    assert_eq!(kept, ALERTS, "what was acknowledged is kept");
    took.as_secs_f64()
}
