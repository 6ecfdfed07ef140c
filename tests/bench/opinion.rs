//! A second opinion on the endpoint: wrk, which counts for itself. It posts the same alerts again and
//! again, so that most are duplicates, which the journal still has to look up and to commit.

use std::{io::ErrorKind, process::Command};

use crate::{
    accept::Pushes,
    endpoint::{Behind, Endpoint},
    support::{app::WEBHOOK_SECRET, stores::Database},
    table::{Figures, Row},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/wrk.lua");
const CONNECTIONS: usize = 64;
/// Alerts in turn.
const ALERTS: usize = 10_000;
const SECONDS: u32 = 5;
const MICROSECONDS: f64 = 1_000_000.0;

/// Its row; without wrk a row that says so.
pub(crate) async fn measure() -> Row {
    let what = format!("wrk's opinion, {CONNECTIONS} connections: SQLite");
    let pushes = Pushes::of_alerts(ALERTS);
    let folder = tempfile::TempDir::new().expect("a folder can be made");
    let file = folder.path().join("bodies");
    std::fs::write(&file, pushes.bodies.join("\n")).expect("the bodies can be written");
    let endpoint = Endpoint::open(Behind::Journal(Database::Sqlite)).await;
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{SECONDS}s"), "--script", SCRIPT])
        .arg(format!("http://{}{}", endpoint.address, endpoint.path))
        .arg("--")
        .args([file.as_os_str(), WEBHOOK_SECRET.as_ref()]);
    let ran = tokio::task::spawn_blocking(move || wrk.output()).await.expect("it does not panic");
    let output = match ran {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let skipped = "SKIPPED: wrk is not installed";
            return Row::alone(what, "requests/s", Figures::default()).note(skipped);
        }
        Err(error) => panic!("wrk cannot be started: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().last().unwrap_or_default();
    let told: Vec<f64> = told.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [requests, microseconds, failed] = told[..] else {
        panic!("wrk told nothing: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    assert!(failed == 0.0, "{failed} requests of wrk failed: {text}");
    let kept = endpoint.end().await.expect("there is a journal");
    assert!(kept.is_subset(&pushes.ids()), "nothing but what was posted is kept");
    // It does not say which it posted last; what it posted once around, it posted all of.
    let count = f64::from(u32::try_from(ALERTS).expect("a small number"));
    assert!(requests < count || kept == pushes.ids(), "what was acknowledged is kept");
    Row::alone(what, "requests/s", Figures::one(requests * MICROSECONDS / microseconds))
}
