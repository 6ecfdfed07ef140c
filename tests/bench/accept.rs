//! The endpoint's rate: verified, decoded, committed and answered, in either database, beside
//! the same route with nothing behind its door. Every acknowledged alert is looked for in the journal
//! afterwards.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    Plan,
    endpoint::{Behind, Endpoint},
    load::{self, Answered},
    opinion,
    process::Usage,
    support::stores::{self, Database},
    table::{Bar, Figures, Row},
};
use harfanglab_incidents::{clock::Clock, demo::Generator};
use sqlx::{Connection as _, PgConnection, Row as _};

/// Connections at once, and the requests of a round over them: alone, each waits for its own commit.
const ROUNDS: [(usize, usize); 3] = [(64, 10_000), (8, 5_000), (1, 1_000)];
/// One alert in this many requests, where the rest is telemetry.
const TELEMETRY: usize = 100;

/// The alerts that are pushed.
#[derive(Clone, Copy)]
enum Mix {
    AlertsOnly,
    MostlyTelemetry,
}

impl Mix {
    fn name(self) -> &'static str {
        match self {
            Self::AlertsOnly => "alerts",
            Self::MostlyTelemetry => "1 % alerts among telemetry",
        }
    }
}

/// Bodies, and the id of the alert in each.
pub(crate) struct Pushes {
    pub(crate) bodies: Vec<String>,
    ids: Vec<Option<String>>,
}

impl Pushes {
    fn new(mix: Mix, count: usize, round: usize) -> Self {
        let mut generator = Generator::new(round as u64);
        let now = Clock::system().now();
        let push = |number: usize| match mix {
            Mix::MostlyTelemetry if !number.is_multiple_of(TELEMETRY) => {
                (generator.ecs_telemetry(now).to_string(), None)
            }
            _ => {
                let alert = generator.next_alert(now);
                (alert.native().to_string(), Some(alert.unique_id().to_owned()))
            }
        };
        let (bodies, ids) = (0..count).map(push).unzip();
        Self { bodies, ids }
    }

    /// Of alerts alone.
    pub(crate) fn of_alerts(count: usize) -> Self {
        Self::new(Mix::AlertsOnly, count, 0)
    }

    /// The ids of all alerts.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.ids.iter().flatten().cloned().collect()
    }
}

/// The result of a round.
struct Round {
    /// Requests a second.
    rate: f64,
    /// Milliseconds that 99 % of the answers did not exceed.
    most: f64,
    /// Milliseconds of this process on a processor for a request, both its ends.
    cpu: f64,
}

/// Posts everything and looks for what was acknowledged.
async fn round(behind: Behind, pushes: &Pushes, connections: usize) -> Round {
    let endpoint = Endpoint::open(behind).await;
    let request = |body: &String| load::request(&endpoint.path, body);
    let requests = pushes.bodies.iter().map(request).collect();
    let begin = Usage::own().cpu_seconds;
    let (took, answered) =
        load::closed_loop(endpoint.address, &std::sync::Arc::new(requests), connections).await;
    let cpu_seconds = Usage::own().cpu_seconds - begin;
    assert_eq!(answered.len(), pushes.bodies.len(), "every request is answered");
    let refused = answered.iter().find(|answer| answer.status != 202 && answer.status != 200);
    assert!(refused.is_none(), "the endpoint refused: {refused:?}");
    if let Some(kept) = endpoint.end().await {
        let id = |answer: &Answered| pushes.ids[answer.position].clone();
        let acknowledged: BTreeSet<String> = answered.iter().filter_map(id).collect();
        assert_eq!(kept, acknowledged, "what was acknowledged is kept, and nothing else");
    }
    let mut answers: Vec<Duration> = answered.iter().map(|answer| answer.took).collect();
    let count = f64::from(u32::try_from(pushes.bodies.len()).expect("it is a small number"));
    Round {
        rate: count / took.as_secs_f64(),
        most: load::quantile(&mut answers, 0.99).as_secs_f64() * 1_000.0,
        cpu: cpu_seconds * 1_000.0 / count,
    }
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let flushes = flushes_of_postgres().await;
    let mut rows = Vec::new();
    let most = (Mix::MostlyTelemetry, ROUNDS[0]);
    for (mix, round) in ROUNDS.map(|round| (Mix::AlertsOnly, round)).into_iter().chain([most]) {
        rows.extend(of_round(plan, mix, round, &flushes).await);
    }
    rows.push(opinion::measure().await);
    rows
}

/// Both databases and nothing, in turn.
async fn of_round(
    plan: &Plan,
    mix: Mix,
    (connections, requests): (usize, usize),
    flushes: &str,
) -> Vec<Row> {
    let sides =
        [Behind::Journal(Database::Sqlite), Behind::Nothing, Behind::Journal(Database::Postgres)];
    let mut rounds = [const { Vec::new() }; 3];
    // The first round warms up.
    for number in 0..=plan.rounds {
        let pushes = Pushes::new(mix, requests, number);
        for (behind, rounds) in sides.iter().zip(&mut rounds) {
            let round = round(*behind, &pushes, connections).await;
            if number > 0 {
                rounds.push(round);
            }
        }
    }
    let figures = |side: usize, of: &dyn Fn(&Round) -> f64| -> Figures {
        rounds[side].iter().map(of).collect::<Vec<_>>().into()
    };
    let what = |what: &str| format!("{}, {connections} connections: {what}", mix.name());
    let beside = |side, name: &str, unit, of: &dyn Fn(&Round) -> f64| {
        let row = Row::alone(what(name), unit, figures(side, of));
        row.beside("nothing behind the door", figures(1, of))
    };
    let sqlite = beside(0, "SQLite", "requests/s", &|round| round.rate);
    let most = |side, name: &str| Row::alone(what(name), "ms", figures(side, &|round| round.most));
    vec![
        // With fewer connections fewer deliveries share a commit: told, without a bar.
        if connections == ROUNDS[0].0 { sqlite.bar(Bar::AtLeast(0.5)) } else { sqlite },
        beside(0, "SQLite, on the processor, a request", "ms", &|round| round.cpu),
        most(0, "SQLite, answered, p99"),
        beside(2, "PostgreSQL", "requests/s", &|round| round.rate).note(flushes),
        most(2, "PostgreSQL, answered, p99"),
    ]
}

/// Returns whether the server's commits wait for its disk.
async fn flushes_of_postgres() -> String {
    let server = stores::server();
    let mut connection = PgConnection::connect(&server).await.expect("PostgreSQL is there");
    let row = sqlx::query("SHOW fsync").fetch_one(&mut connection).await;
    let fsync: String = row.expect("it tells its settings").get(0);
    format!("the server runs with fsync = {fsync}")
}
