//! A real Prometheus (Debian's package) that scrapes a running service with the rules of `deploy/`,
//! and is asked every query of the dashboard.

use std::process::Command;

use serde_json::Value;

use super::metrics::dashboard_queries;
use crate::support::{
    notifications::generated_alert,
    programs::{Server, free_port},
    shared::deployed,
    stage::{Stage, http, post},
    waiting::until,
};

async fn query(api: &str, expression: &str) -> Option<Value> {
    let request = http().get(format!("{api}/query")).query(&[("query", expression)]);
    request.send().await.ok()?.json().await.ok()
}

fn has_results(answer: &Value) -> bool {
    answer["data"]["result"].as_array().is_some_and(|results| !results.is_empty())
}

#[tokio::test]
async fn every_query_of_the_dashboard_is_answered_and_every_rule_is_healthy() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let (management, url) = (app.management().await, app.webhook().await);
    assert_eq!(post(&url, &generated_alert(51)).await.0.as_u16(), 202);
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\n\
         scrape_configs:\n- job_name: harfanglab-incidents\n  static_configs:\n  - targets: [{:?}]\n",
        deployed("monitoring/rules.yml"),
        management.strip_prefix("http://").unwrap(),
    );
    let file = stage.home.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let Some(mut prometheus) = Server::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", stage.home.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(stage.home.path()),
    ) else {
        return;
    };
    let api = format!("http://{address}/api/v1");
    until("two scrapes", async || {
        assert_eq!(prometheus.ended(), None, "Prometheus ended");
        let scrapes = "count_over_time(up{job=\"harfanglab-incidents\"}[5m]) >= 2";
        query(&api, scrapes).await.filter(has_results)
    })
    .await;
    for expression in dashboard_queries("harfanglab-incidents") {
        until(&expression, async || {
            let answer = query(&api, &expression).await?;
            assert_eq!(answer["status"], "success", "{expression}: {answer}");
            has_results(&answer).then_some(())
        })
        .await;
    }
    let groups = until("the rules are evaluated", async || {
        let rules = http().get(format!("{api}/rules")).send().await.ok()?;
        let rules: Value = rules.json().await.ok()?;
        let groups = rules["data"]["groups"].as_array()?.clone();
        let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        all.clone().all(|rule| rule["health"] != "unknown").then_some(groups)
    })
    .await;
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
