//! The metrics page of a running service, held to the catalogue, and the sources, the rules and the
//! dashboard held to it too.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use harfanglab_incidents::ops::{CATALOGUE, Kind, Metric};
use serde_json::Value;

use crate::support::{
    shared::read_deployed,
    skipped::skipped,
    stage::{Stage, http},
};

/// The page of a service that has just started and done nothing.
async fn scraped() -> String {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    http().get(format!("{management}/metrics")).send().await.unwrap().text().await.unwrap()
}

/// Returns how a series begins on the page.
fn begins(metric: &Metric, labels: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let suffix = if metric.kind == Kind::Histogram { "_count" } else { "" };
    pairs.sort();
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    format!("{}{suffix}{labels} ", metric.name)
}

/// The line with its labels in order.
fn sorted(line: &str) -> String {
    match line.split_once('{').and_then(|(name, rest)| Some((name, rest.split_once('}')?))) {
        Some((name, (labels, value))) => {
            let mut labels: Vec<_> = labels.split(',').collect();
            labels.sort_unstable();
            format!("{name}{{{}}}{value}", labels.join(","))
        }
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn every_series_of_the_catalogue_is_there_before_anything_has_happened() {
    let page = scraped().await;
    let lines: Vec<_> = page.lines().map(sorted).collect();
    for metric in CATALOGUE {
        assert!(page.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
        if metric.name == "build_info" {
            assert!(page.contains("build_info{"), "{page}");
            continue;
        }
        for labels in metric.series() {
            let begins = begins(metric, &labels);
            assert!(lines.iter().any(|line| line.starts_with(&begins)), "{begins}\n{page}");
        }
    }
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(CATALOGUE.iter().any(|metric| metric.name == name), "{name} is not listed");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_the_page() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        skipped("promtool (Debian's package prometheus) is not installed");
        return;
    };
    let page = scraped().await;
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The texts between quotation marks right after `macro!(` in every source file.
fn counted_in_sources(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            counted_in_sources(&path, names);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for name in ["counter", "gauge", "histogram"] {
            for rest in text.split(&format!("metrics::{name}!(")).skip(1) {
                if let Some(rest) = rest.trim_start().strip_prefix('"') {
                    names.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
}

#[test]
fn the_catalogue_names_what_the_sources_count_and_nothing_else() {
    let mut counted = BTreeSet::new();
    counted_in_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut counted);
    let listed: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(counted, listed, "src/ops/catalogue.rs is the one list of metrics");
    for metric in CATALOGUE {
        let ends_in_total = metric.name.ends_with("_total");
        assert_eq!(metric.kind == Kind::Counter, ends_in_total, "{}", metric.name);
    }
}

/// Every expression of the dashboard, its variables replaced.
pub(super) fn dashboard_queries(job: &str) -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read_deployed("monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .map(|expr| expr.replace("$job", job).replace("$__rate_interval", "1m"))
        .collect()
}

#[test]
fn rules_and_dashboard_ask_only_for_metrics_that_exist() {
    let rules = read_deployed("monitoring/rules.yml");
    // Some are longer than a line.
    let expressions = rules.split("expr: ").skip(1).filter_map(|rest| rest.split("labels:").next());
    let mut asked = BTreeSet::new();
    for expression in expressions.map(str::to_owned).chain(dashboard_queries("a")) {
        let mut rest = expression.as_str();
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        while let Some(begin) = rest.find(is_part) {
            rest = &rest[begin..];
            let word = &rest[..rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())];
            rest = &rest[word.len()..];
            if rest.starts_with('{') || word.ends_with("_total") || word.ends_with("_seconds") {
                asked.insert(word.trim_end_matches("_bucket").to_owned());
            }
        }
    }
    asked.remove("up");
    for name in &asked {
        assert!(CATALOGUE.iter().any(|metric| metric.name == name), "{name}");
    }
    assert!(asked.len() > 15, "{asked:?}");
}
