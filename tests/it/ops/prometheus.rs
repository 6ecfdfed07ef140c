//! A real Prometheus (Debian's package) that scrapes a running service with the rules of `deploy/`,
//! and is asked every query of the dashboard.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{deployment::deployed, metrics::dashboard_queries};
use crate::{
    intake::webhook::alert,
    support::{
        app::patience,
        skipped::skipped,
        stage::{Stage, http, post},
    },
};

/// A server that is stopped when the test ends.
pub(crate) struct Server(Child);

impl Server {
    /// Starts a program if it is installed; says so loudly when it is not.
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                let program = command.get_program().display();
                skipped(&format!("{program} cannot be started: {error}"));
                None
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again, every 50 ms, until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    let asking = async {
        loop {
            turns.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(patience(), asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

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
    assert_eq!(post(&url, &alert(51)).await.0.as_u16(), 202);
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
