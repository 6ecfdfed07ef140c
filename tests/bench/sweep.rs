//! The cost of a backlog: the real binary sweeps it once, from its start to its exit, with everything
//! on the queue; time, processor, requests to the console, messages, memory and disk, as the backlog
//! grows and as its rules become many.
//!
//! With `--peer` the Python connector does the same beside it, against the same console and broker.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, DemoAlert},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Plan, Size, backlog, idle,
    process::Usage,
    support::{
        app::Home,
        broker::{Broker, Message},
        opencti::Personality,
        stage::Stage,
    },
    table::{Bar, Figures, Row},
};

/// The time that the console takes for every answer.
const LATENCY: Duration = Duration::from_millis(20);
/// Rounds of a size: a backlog is long enough to need no more.
const ROUNDS_MOST: usize = 3;
/// Seconds, requests and MiB of the Python connector for 10,000 alerts and this latency, measured on 2
/// cores in November 2026 with pycti 7.260604.0.
const PEER_THEN: &str = "340 s, 10,100 requests, 545 MiB";

/// The cost of one sweep of a backlog.
struct Cost {
    seconds: f64,
    usage: Usage,
    requests: f64,
    messages: f64,
    /// Different objects in them.
    objects: f64,
    /// KiB of the journal's files.
    journal: f64,
}

/// Everything around a connector that runs once.
async fn stage() -> Stage {
    let mut stage = Stage::on(Broker::connect().await, Personality::V7_260817_0);
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    // Nobody reads the queue meanwhile.
    stage.home.set("CONNECTOR_QUEUE_THRESHOLD", "100000");
    for (name, value) in backlog::FILTERS {
        stage.home.set(name, value);
    }
    stage.console.seed(Clock::system().now());
    stage.console.set_latency(LATENCY);
    // As platforms do; the Python connector does not start without.
    stage.opencti.tell_s3(json!({
        "endpoint": "127.0.0.1", "port": 9, "access_key": "", "secret_key": "", "use_ssl": false,
        "bucket_region": "", "bucket_name": "never-used",
    }));
    stage
}

/// A console with a backlog of this many alerts, and everything around it.
async fn stage_of(alerts: u32) -> Stage {
    let stage = stage().await;
    for alert in backlog::alerts(alerts, Clock::system().now()) {
        stage.console.add_alert(alert.api_item());
    }
    stage
}

async fn cost_of(stage: Stage, (seconds, usage): (f64, Usage)) -> Cost {
    let messages = f64::from(stage.broker.depth(&stage.queue()).await);
    let mut objects = HashSet::new();
    let note = |message: Message| {
        let id = message.bundle["objects"][0]["id"].as_str().expect("objects have an id");
        objects.insert(id.to_owned());
    };
    stage.broker.drain(&stage.queue(), note).await;
    let cost = Cost {
        seconds,
        usage,
        requests: number(stage.console.requests().total()),
        messages,
        objects: number(objects.len() as u64),
        journal: journal_kibibytes(&stage.home),
    };
    stage.broker.delete_queue(&stage.queue()).await;
    cost
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("there are not so many"))
}

/// Of the file and what SQLite puts beside it.
fn journal_kibibytes(home: &Home) -> f64 {
    let files = std::fs::read_dir(home.path()).expect("the folder can be read").flatten();
    let of_journal = |name: &str| name.starts_with("harfanglab-incidents.db");
    let files = files.filter(|file| file.file_name().to_str().is_some_and(of_journal));
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    number(bytes) / 1_024.0
}

async fn ours(stage: Stage) -> Cost {
    let begin = Instant::now();
    let mut app = stage.home.start(&[]);
    let process = app.process_id();
    let exited = async {
        let status = app.exit().await;
        assert!(status.success(), "the sweep failed: {}", app.log());
    };
    let usage = Usage::until(process, exited).await;
    cost_of(stage, (begin.elapsed().as_secs_f64(), usage)).await
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let idle = idle::resident().await;
    let sizes: &[u32] = match plan.size {
        Size::Ordinary => &[1_000, 10_000],
        Size::Long => &[1_000, 10_000, 100_000],
    };
    let mut rows = Vec::new();
    for alerts in sizes {
        rows.extend(of_size(plan, *alerts, idle).await);
    }
    rows.extend(of_rules(plan).await);
    rows
}

/// The costs of all rounds.
#[derive(Default)]
struct Costs(Vec<Cost>);

impl Costs {
    fn figures(&self, of: impl Fn(&Cost) -> f64) -> Figures {
        self.0.iter().map(of).collect::<Vec<_>>().into()
    }
}

async fn of_size(plan: &Plan, alerts: u32, idle: f64) -> Vec<Row> {
    let [mut ours_all, mut peers] = [const { Costs(Vec::new()) }; 2];
    for _ in 0..plan.rounds.min(ROUNDS_MOST) {
        ours_all.0.push(ours(stage_of(alerts).await).await);
        if let Some(peer) = &plan.peer {
            let stage = stage_of(alerts).await;
            let ran = peer.run(&stage).await;
            peers.0.push(cost_of(stage, ran).await);
        }
    }
    let what = |what: &str| format!("{alerts} alerts, {} ms latency: {what}", LATENCY.as_millis());
    let row = |name: &str, unit, of: &dyn Fn(&Cost) -> f64| {
        let row = Row::alone(what(name), unit, ours_all.figures(of));
        if peers.0.is_empty() {
            return (row, false);
        }
        (row.beside("the Python connector", peers.figures(of)), true)
    };
    let barred = |(row, is_beside): (Row, bool), bar| if is_beside { row.bar(bar) } else { row };
    // The bars are those of a backlog of 10,000: with less, the start counts for more.
    let is_large = alerts >= 10_000;
    let time = row("start to exit", "s", &|cost| cost.seconds);
    let requests = row("requests to the console", "", &|cost| cost.requests);
    let (time, requests) = if is_large {
        (barred(time, Bar::AtMost(1.0 / 30.0)), barred(requests, Bar::AtMost(0.02)))
    } else {
        (time.0, requests.0)
    };
    let time = if plan.peer.is_none() && is_large {
        time.note(format!("the Python connector with 10,000 in another session: {PEER_THEN}"))
    } else {
        time
    };
    // An alert becomes more objects here than there: the bar is for as many objects.
    let repeated = row("messages an object", "", &|cost| cost.messages / cost.objects);
    let per_alert = |cost: &Cost| cost.journal / f64::from(alerts);
    let growth = ours_all.figures(|cost| cost.usage.peak - idle);
    vec![
        time,
        row("on the processor", "s", &|cost| cost.usage.cpu_seconds).0,
        requests,
        row("messages", "", &|cost| cost.messages).0,
        barred(repeated, Bar::AtMost(1.0)),
        row("peak memory", "MiB", &|cost| cost.usage.peak).0,
        Row::alone(what("peak memory over idle"), "MiB", growth).bar(Bar::AtMost(64.0)),
        Row::alone(what("journal, per alert"), "KiB", ours_all.figures(per_alert)),
    ]
}

/// Number of rules in a backlog.
#[derive(Clone, Copy)]
struct Rules {
    alerts: u32,
    few: u32,
    many: u32,
}

/// An alert that only names its rule, and that rule.
fn of_rule(alert: &DemoAlert, number: u32) -> (Value, Value) {
    let (name, id) = (format!("Rule {number}"), Uuid::from_u128(u128::from(number) + 1));
    let mut item = alert.api_item();
    let fields = item.as_object_mut().expect("an alert is an object");
    fields.shift_remove("rule_content");
    fields.insert("alert_type".to_owned(), "sigma".into());
    fields.insert("rule_name".to_owned(), name.as_str().into());
    fields.insert("rule_id".to_owned(), id.to_string().into());
    let date = "2026-01-15T09:00:00Z";
    let content = format!("title: {name}\nid: {id}\nlogsource:\n  category: process_creation\n");
    let rule = json!({
        "id": id.to_string(), "rule_id": id.to_string(), "name": name, "rule_name": name,
        "content": content, "enabled": true, "creation_date": date, "last_update": date,
    });
    (item, rule)
}

async fn with_rules(alerts: u32, rules: u32) -> Cost {
    let mut stage = stage().await;
    // What our own limit takes is known; what many rules cost is not.
    stage.home.set("HARFANGLAB_INCIDENTS_API_RATE", "10000");
    for (alert, number) in backlog::alerts(alerts, Clock::system().now()).zip(0..) {
        let (alert, rule) = of_rule(&alert, number % rules);
        stage.console.add_alert(alert);
        if number < rules {
            stage.console.add(Collection::SigmaRules, rule);
        }
    }
    ours(stage).await
}

/// The same backlog of few rules and of many, beside each other.
async fn of_rules(plan: &Plan) -> Vec<Row> {
    let Rules { alerts, few, many } = match plan.size {
        Size::Ordinary => Rules { alerts: 1_000, few: 10, many: 1_000 },
        Size::Long => Rules { alerts: 10_000, few: 10, many: 10_000 },
    };
    let [mut with_few, mut with_many] = [const { Costs(Vec::new()) }; 2];
    for _ in 0..plan.rounds.min(ROUNDS_MOST) {
        with_few.0.push(with_rules(alerts, few).await);
        with_many.0.push(with_rules(alerts, many).await);
    }
    let row = |what: &str, unit, of: &dyn Fn(&Cost) -> f64| {
        let what = format!("{alerts} alerts, API rate not limited, {many} rules: {what}");
        Row::alone(what, unit, with_many.figures(of))
            .beside(format!("{few} rules"), with_few.figures(of))
    };
    vec![
        row("start to exit", "s", &|cost| cost.seconds),
        row("on the processor", "s", &|cost| cost.usage.cpu_seconds),
        row("requests to the console", "", &|cost| cost.requests),
        row("peak memory", "MiB", &|cost| cost.usage.peak),
    ]
}
