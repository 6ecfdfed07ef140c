//! What a backlog costs: the real binary sweeps it once, from its start to its exit, with everything
//! on the queue; time, requests to the console and memory, as the backlog grows.
//!
//! With `--peer` the Python connector does the same beside it, against the same console and broker.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use harfanglab_incidents::{clock::Clock, demo::Generator};
use tokio::process::{Child, Command};

use crate::{
    Plan, Size, idle,
    process::Memory,
    support::{broker::Broker, opencti::Personality, stage::Stage},
    table::{Bar, Figures, Row},
};

/// What the console takes for every answer.
const LATENCY: Duration = Duration::from_millis(20);
/// Requests of the Python connector for an alert: one each, and a page for every hundred.
const PEER_REQUESTS: f64 = 1.01;
/// Seconds, requests and MiB of the Python connector for 10,000 alerts and this latency, measured on 2
/// cores in August 2026 with pycti 7.260817.0.
const PEER_THEN: &str = "302 s, 10,100 requests, 635 MiB";
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What one sweep of a backlog cost.
struct Cost {
    seconds: f64,
    requests: f64,
    messages: f64,
    peak_mebibytes: f64,
}

/// A console with a backlog of this many alerts, a second apart, and everything around it.
async fn stage(alerts: i64) -> Stage {
    let mut stage = Stage::on(Broker::connect().await, Personality::V7_260817_0);
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    // Nobody reads the queue meanwhile.
    stage.home.set("CONNECTOR_QUEUE_THRESHOLD", "100000");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(40);
    for number in 0..alerts {
        let raised_at = now - TimeDelta::seconds(alerts + 3_600 - number);
        stage.console.add_alert(generator.next_alert(raised_at).api_item());
    }
    stage.console.set_latency(LATENCY);
    stage
}

/// Waits for the end of a process; answers the most memory that it had.
async fn peak_until_exit(process: u32, exited: impl Future<Output = ()>) -> f64 {
    let (mut looks, mut peak) = (tokio::time::interval(LOOK), 0.0);
    tokio::pin!(exited);
    loop {
        tokio::select! {
            () = &mut exited => return peak,
            _now = looks.tick() => {
                if let Some(memory) = Memory::of(process) {
                    peak = memory.peak;
                }
            }
        }
    }
}

async fn cost_of(stage: &Stage, begin: Instant, peak_mebibytes: f64) -> Cost {
    Cost {
        seconds: begin.elapsed().as_secs_f64(),
        requests: f64::from(u32::try_from(stage.console.requests().total()).expect("not so many")),
        messages: f64::from(stage.broker.depth(&stage.queue()).await),
        peak_mebibytes,
    }
}

async fn ours(alerts: i64) -> Cost {
    let stage = stage(alerts).await;
    let begin = Instant::now();
    let mut app = stage.home.start(&[]);
    let process = app.process_id();
    let exited = async {
        let status = app.exit().await;
        assert!(status.success(), "the sweep failed: {}", app.log());
    };
    let peak = peak_until_exit(process, exited).await;
    let cost = cost_of(&stage, begin, peak).await;
    stage.broker.delete_queue(&stage.queue()).await;
    cost
}

async fn peer(checkout: &Path, alerts: i64) -> Cost {
    let stage = stage(alerts).await;
    let begin = Instant::now();
    let mut child: Child = Command::new("python3")
        .arg("main.py")
        .current_dir(checkout.join("src"))
        .envs(stage.home.environment())
        .env("CONNECTOR_LOG_LEVEL", "error")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 runs main.py in the folder src of --peer");
    let process = child.id().expect("it was just started");
    let exited = async {
        let status = child.wait().await.expect("it can be waited for");
        assert!(status.success(), "the Python connector failed: {status}");
    };
    let peak = peak_until_exit(process, exited).await;
    let cost = cost_of(&stage, begin, peak).await;
    stage.broker.delete_queue(&stage.queue()).await;
    cost
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let idle = idle::resident().await;
    let sizes: &[i64] = match plan.size {
        Size::Ordinary => &[1_000, 10_000],
        Size::Long => &[1_000, 10_000, 100_000],
    };
    let mut rows = Vec::new();
    for alerts in sizes {
        rows.extend(of_size(plan, *alerts, idle).await);
    }
    rows
}

async fn of_size(plan: &Plan, alerts: i64, idle: f64) -> Vec<Row> {
    let [mut seconds, mut requests, mut messages, mut growth] = [const { Vec::new() }; 4];
    let mut peers = Figures::default();
    // A backlog is long enough to need no more rounds.
    for _ in 0..plan.rounds.min(3) {
        let cost = ours(alerts).await;
        seconds.push(cost.seconds);
        requests.push(cost.requests);
        messages.push(cost.messages);
        growth.push(cost.peak_mebibytes - idle);
        if let Some(checkout) = &plan.peer {
            peers.push(peer(checkout, alerts).await.seconds);
        }
    }
    let count = f64::from(i32::try_from(alerts).expect("not so many"));
    let what = |what: &str| format!("{alerts} alerts, {} ms latency: {what}", LATENCY.as_millis());
    let time = Row::alone(what("start to exit"), "s", Figures::from(seconds));
    let time = if plan.peer.is_some() {
        time.beside("the Python connector", peers).bar(Bar::AtMost(1.0 / 30.0))
    } else {
        time.note(format!("in another session the Python connector, 10,000 alerts: {PEER_THEN}"))
    };
    vec![
        time,
        Row::alone(what("requests to the console"), "", Figures::from(requests))
            .beside("the Python connector's, counted", Figures::one(count * PEER_REQUESTS))
            .bar(if alerts < 10_000 { Bar::AtMost(0.1) } else { Bar::AtMost(0.02) }),
        Row::alone(what("messages"), "", Figures::from(messages)),
        Row::alone(what("peak memory over idle"), "MiB", Figures::from(growth))
            .bar(Bar::AtMost(64.0)),
    ]
}
