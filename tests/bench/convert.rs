//! The cost of an alert between the journal and the queue, on one core: read, converted, split, and
//! each message encoded. With `--peer` the Python connector does the same beside it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use harfanglab_incidents::{
    alert::{Alert, intelligence::Intelligence},
    clock::Clock,
    convert::{
        ConvertSettings, Known, Wanted, carried_intelligence, completed, convert_alert,
        wanted_intelligence,
    },
    demo::{DemoConsole, DemoConsoleConfig},
    harfanglab::Console,
    intake::dialect::{Dialect, read_alert},
    opencti::{Piece, split},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::{
    Plan, backlog,
    process::Usage,
    settings,
    support::stage::http,
    table::{Bar, Figures, Row},
};

/// Alerts of one round.
const ALERTS: u32 = 2_000;
/// Milliseconds of CPU that the Python connector took for an alert, splitting and publishing included:
/// 60.8 s for 10,000, measured on 2 cores in August 2026 with pycti 7.260817.0.
const PEER_MILLISECONDS: f64 = 6.0;

/// An alert as the journal holds it, and its rule as the cache holds it.
struct Kept {
    text: String,
    rule: Option<Arc<Intelligence>>,
}

/// Converts what the journal holds into the messages of the queue; answers their bytes.
fn messages(kept: &Kept, settings: &ConvertSettings, known: &Known) -> usize {
    let element: Value = serde_json::from_str(&kept.text).expect("it was JSON");
    let alert = read_alert(Dialect::NativeAlert, &element);
    let told = kept.rule.as_deref().cloned();
    let rule = match (carried_intelligence(&alert), told) {
        (Some(carried), Some(told)) => Some(completed(carried, told)),
        (carried, told) => told.or(carried),
    };
    let conversion = convert_alert(&alert, rule.as_ref(), known, settings);
    let split = split(&conversion.bundle).expect("our bundles can be split");
    let encode = |piece: Piece| {
        let bundle = piece.without_nulls().to_bundle(&conversion.bundle.id);
        STANDARD.encode(bundle).len()
    };
    split.pieces.into_iter().map(encode).sum()
}

/// Returns what the console says of an alert's rule.
async fn told_of_rule(console: &Console, alert: &Alert) -> Option<Intelligence> {
    let answered = "the console answers";
    match wanted_intelligence(alert)? {
        Wanted::Ioc { kind, value } => {
            let rule = console.ioc_rule(kind.as_deref(), &value).await.expect(answered);
            rule.map(Intelligence::Ioc)
        }
        Wanted::Sigma { rule_id, rule_name } => {
            let (id, name) = (rule_id.as_deref(), rule_name.as_deref());
            let rule = console.sigma_rule(id, name).await.expect(answered);
            rule.map(Intelligence::Sigma)
        }
        Wanted::Correlation { .. } | Wanted::Yara { .. } => None,
    }
}

/// The console's rules of one kind by this field.
async fn rules(demo: &DemoConsole, kind: &str, by: &str) -> Map<String, Value> {
    let path = format!("/api/data/threat_intelligence/{kind}/?limit=100");
    let url = demo.url().join(&path).expect("it is a path");
    let token = format!("Token {}", demo.settings().token.expose_secret());
    let answer = http().get(url).header("Authorization", token).send().await;
    let page: Value = answer.expect("the console answers").json().await.expect("it is JSON");
    let items = page["results"].as_array().cloned().unwrap_or_default().into_iter();
    items.filter_map(|item| Some((item.get(by)?.as_str()?.to_owned(), item))).collect()
}

/// The alerts with their rules, for ours and as the Python connector's script reads them.
async fn alerts() -> (Vec<Kept>, Value) {
    let demo = DemoConsole::start(DemoConsoleConfig::default()).expect("a port is free");
    let now = Clock::system().now();
    demo.seed(now);
    let console = Console::new(&demo.settings()).expect("its settings are valid");
    let mut kept = Vec::new();
    for alert in backlog::alerts(ALERTS, now) {
        let item = alert.api_item();
        let read = read_alert(Dialect::NativeAlert, &item);
        let rule = told_of_rule(&console, &read).await.map(Arc::new);
        kept.push(Kept { text: item.to_string(), rule });
    }
    let texts: Vec<&str> = kept.iter().map(|kept| kept.text.as_str()).collect();
    let given = json!({
        "alerts": texts,
        "ioc": rules(&demo, "IOCRule", "value").await,
        "sigma": rules(&demo, "SigmaRule", "rule_name").await,
    });
    (kept, given)
}

/// Seconds of this process on a processor: nothing else runs in it meanwhile. As the Python connector
/// is measured, so that other processes count for neither.
fn on_the_processor() -> f64 {
    Usage::own().cpu_seconds
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let (kept, given) = Box::pin(alerts()).await;
    let (settings, known) = (settings::convert(), Known::received(Clock::system().now()));
    let [mut ours, mut peers] = [const { Vec::new() }; 2];
    for number in 0..=plan.rounds {
        let begin = on_the_processor();
        let bytes: usize = kept.iter().map(|kept| messages(kept, &settings, &known)).sum();
        let took = (on_the_processor() - begin) * 1_000.0 / f64::from(ALERTS);
        assert!(bytes > 0, "there are messages");
        // The first round warms up.
        if number > 0 {
            ours.push(took);
            peers.extend(plan.peer.as_ref().map(|peer| peer.converts(&given)));
        }
    }
    let what = "read, convert, split, encode, per alert";
    let row = Row::alone(what, "ms of CPU", Figures::from(ours));
    vec![if plan.peer.is_some() {
        row.beside("the Python connector", Figures::from(peers)).bar(Bar::AtMost(0.01))
    } else {
        row.note(format!(
            "in another session the Python connector took about {PEER_MILLISECONDS} ms of CPU for an \
             alert, publishing included: no ratio"
        ))
    }]
}
