//! A rule whose text OpenCTI refuses: its alerts leave without indicator and sighting, and nothing leaves
//! whole again because of it.

mod checker;
mod expiry;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{SubsecRound as _, TimeDelta};
use harfanglab_incidents::{
    clock::Clock,
    demo::{Generator, Kind},
    journal::{Journal, RefusedRule, RuleRefusal},
    opencti::OpenCti,
    pipeline::Afterwards,
};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{
    app::patience,
    broker::Message,
    command,
    post_delivery_checks::run,
    stage::{Stage, post},
    stores::{Database, open_sqlite, open_sqlite_beside},
};

/// A service around a journal, and alerts of one rule, each of a host or a time of its own.
struct Scene {
    stage: Stage,
    journal: Journal,
    generator: Generator,
    /// Reads what OpenCTI says of works, under a clock that only the test moves.
    afterwards: Afterwards,
    passed_seconds: Arc<AtomicI64>,
}

impl Scene {
    async fn on(database: Database) -> Self {
        let mut stage = Stage::with_webhook().await;
        let fresh = database.fresh().await;
        match database {
            // The home is there as long as the stage.
            Database::Sqlite => {}
            Database::Postgres => stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &fresh.url),
        }
        let now = Clock::system().now();
        stage.console.seed(now);
        let url = stage.console.url();
        let journal: Journal = match database {
            Database::Sqlite => {
                let file = format!("sqlite:{}", stage.home.journal().display());
                drop(open_sqlite(&file, url.as_str()).await);
                // The service has the lock.
                open_sqlite_beside(&file, url.as_str()).await
            }
            Database::Postgres => fresh.open().await.of_console(url.as_str()),
        };
        let client = OpenCti::new(&stage.opencti.settings()).unwrap();
        client.version().await.unwrap();
        let passed_seconds = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&passed_seconds);
        let clock = Clock::from_fn(move || now + TimeDelta::seconds(passed.load(Ordering::SeqCst)));
        let afterwards =
            Afterwards::new(journal.clone(), (client, stage.connector_id.clone()), None, clock);
        Self { stage, journal, generator: Generator::new(44), afterwards, passed_seconds }
    }

    /// Lets the console show this many more alerts.
    fn raise(&mut self, count: usize) {
        let raised_at = Clock::system().now() - TimeDelta::hours(1);
        for _alert in 0..count {
            let alert = self.generator.alert(Kind::SigmaEventLog, raised_at);
            self.stage.console.add_alert(alert.api_item());
        }
    }

    /// The worker imports everything, and the service reads how that went.
    async fn work_off(&self, messages: &[Message]) {
        self.stage.opencti.work_off(messages);
        self.stage.opencti.complete_closed_works();
        for _round in 0..3 {
            self.passed_seconds.fetch_add(120, Ordering::SeqCst);
            self.afterwards.round().await;
        }
    }

    /// Errors at the platform: of indicators, and of everything.
    fn errors(&self) -> (usize, usize) {
        let works = self.stage.opencti.works();
        let errors: Vec<_> = works.iter().flat_map(|work| &work.errors).collect();
        let of_indicator = errors.iter().filter(|it| it.source.contains("\"type\":\"indicator\""));
        (of_indicator.count(), errors.len())
    }

    async fn refused(&self) -> Vec<RefusedRule> {
        self.journal.left_out_rules(Clock::system().now()).await.unwrap()
    }
}

fn sent<'a>(messages: &'a [Message], kind: &str) -> Vec<&'a Value> {
    let objects = messages.iter().map(|message| &message.bundle["objects"][0]);
    objects.filter(|object| object["type"] == kind).collect()
}

/// Makes the platform refuse the pattern of the first indicator among the messages.
fn refuse_rule_of(stage: &Stage, messages: &[Message]) -> String {
    let indicator = sent(messages, "indicator")[0].clone();
    stage.opencti.change_knowledge(|known| {
        known.refuse_pattern(indicator["pattern"].as_str().unwrap());
    });
    indicator["id"].as_str().unwrap().to_owned()
}

async fn forty_four_alerts(database: Database) {
    let mut scene = Scene::on(database).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(4);
    let first = run(&scene.stage).await;
    let indicator = refuse_rule_of(&scene.stage, &first);
    scene.work_off(&first).await;
    let (refused, errors) = scene.errors();
    assert!((1..=4).contains(&refused), "{refused}");
    assert!(errors > refused + 4, "sightings and relations miss it: {errors}");
    assert_eq!(scene.journal.pending().await.unwrap(), 0, "none of them leaves again");
    let rules = scene.refused().await;
    let kept: Vec<_> = rules.iter().map(|it| (&*it.indicator, &*it.name)).collect();
    assert_eq!(kept, [(&*indicator, "Security Event Log Cleared")]);

    // A new process, as after a restart.
    scene.raise(40);
    let later = run(&scene.stage).await;
    assert_eq!(sent(&later, "incident").len(), 40);
    for kind in ["indicator", "sighting"] {
        assert_eq!(sent(&later, kind), Vec::<&Value>::new());
    }
    scene.work_off(&later).await;
    assert_eq!(scene.errors(), (refused, errors), "nothing of the forty is refused");
    assert_eq!(scene.journal.pending().await.unwrap(), 0);
    assert_eq!(scene.stage.opencti.state().knowledge.of_type("incident").len(), 44);

    let incident = sent(&later, "incident")[0]["id"].as_str().unwrap().to_owned();
    let shown = command::run(&scene.stage.home, &["events", "show", &incident]).await;
    let words =
        "reason: left without the indicator and sighting of the rule Security Event Log Cleared";
    assert!(shown.stdout.contains(words), "{}", shown.stdout);
    assert!(shown.stdout.contains("not correctly formatted"), "{}", shown.stdout);
}

#[tokio::test]
async fn of_forty_four_alerts_four_at_most_meet_the_refusal_and_none_leaves_whole_again() {
    forty_four_alerts(Database::Sqlite).await;
}

#[tokio::test]
async fn of_forty_four_alerts_four_at_most_meet_the_refusal_with_a_journal_in_postgresql() {
    forty_four_alerts(Database::Postgres).await;
}

#[tokio::test]
async fn a_rule_that_one_replica_reads_as_refused_is_left_out_by_another_that_runs_already() {
    let mut scene = Scene::on(Database::Postgres).await;
    scene.stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut other = scene.stage.home.start(&["serve"]);
    let webhook = other.webhook().await;
    let mut works = 0;
    let mut push = async |scene: &mut Scene| {
        let alert = scene.generator.alert(Kind::SigmaEventLog, Clock::system().now());
        let (status, answer) = post(&webhook, &alert.native()).await;
        assert_eq!((status, &answer["accepted"]), (StatusCode::ACCEPTED, &1.into()), "{answer}");
        let closed = scene.stage.closed_works(works + 1).await;
        let messages = scene.stage.messages_of(&closed[works..]).await;
        works = closed.len();
        messages
    };
    let first = push(&mut scene).await;
    refuse_rule_of(&scene.stage, &first);
    scene.work_off(&first).await;
    assert_eq!(scene.refused().await.len(), 1);
    let mut pushed = 0;
    // A replica that runs knows of it within a second.
    while !sent(&push(&mut scene).await, "sighting").is_empty() {
        pushed += 1;
        assert!(pushed < 20, "{}", other.log());
    }
    assert!(sent(&push(&mut scene).await, "sighting").is_empty(), "for good");
    assert!(other.terminate().await.success());
}

#[tokio::test]
async fn an_alert_whose_indicator_another_work_brought_does_not_leave_again_though_read_first() {
    let mut scene = Scene::on(Database::Sqlite).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(1);
    let one = run(&scene.stage).await;
    scene.raise(1);
    let two = run(&scene.stage).await;
    refuse_rule_of(&scene.stage, &one);
    scene.stage.opencti.work_off(&one);
    // As in one process, which sends the indicator once.
    let rest = |message: &Message| message.bundle["objects"][0]["type"] != "indicator";
    let rest: Vec<Message> = two.into_iter().filter(rest).collect();
    let work_of = |messages: &[Message]| messages[0].body["work_id"].as_str().unwrap().to_owned();
    let (first, second) = (work_of(&one), work_of(&rest));
    let mut parts = scene.journal.parts_of_work(&second).await.unwrap();
    parts[0].objects.retain(|id| !id.starts_with("indicator--"));
    scene.journal.remove_work(&second, &[]).await.unwrap();
    let now = Clock::system().now();
    scene.journal.work_opened(&second, &parts, now).await.unwrap();
    scene.journal.work_closed(&second, now, now).await.unwrap();
    scene.journal.postpone_work(&first, now + TimeDelta::days(1)).await.unwrap();
    scene.work_off(&rest).await;
    let due = scene.journal.works_due(9, now + TimeDelta::days(2)).await.unwrap();
    let due: Vec<_> = due.iter().map(|work| &*work.id).collect();
    assert_eq!(due, [&*first], "the second work was read, the first was not");
    assert_eq!(scene.journal.pending().await.unwrap(), 0, "it does not leave again");
    assert_eq!(scene.refused().await.len(), 1, "and the rule is known as refused");
}

#[tokio::test]
async fn a_refused_rule_is_told_once_listed_shown_on_the_page_and_sent_again_by_retry() {
    let mut scene = Scene::on(Database::Sqlite).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(2);
    let first = run(&scene.stage).await;
    let indicator = refuse_rule_of(&scene.stage, &first);
    scene.stage.opencti.work_off(&first);
    scene.stage.opencti.complete_closed_works();
    // A service that runs reads the works itself, at the time that is due by the system's clock.
    let now = Clock::system().now();
    for work in scene.journal.works_due(9, now + TimeDelta::days(1)).await.unwrap() {
        scene.journal.postpone_work(&work.id, now).await.unwrap();
    }
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    scene.stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = scene.stage.home.start(&["serve"]);
    let told = app
        .wait_for_log("it tells of the rule", |line| {
            let is_it = line["message"].as_str()?.starts_with("OpenCTI refuses the text of a rule");
            is_it.then(|| line.clone())
        })
        .await;
    let told = &told["attributes"];
    assert_eq!(told["rule"], "Security Event Log Cleared", "{told}");
    assert_eq!(told["indicator"], *indicator, "{told}");
    assert!(told["reason"].as_str().unwrap().contains("not correctly formatted"), "{told}");
    assert_eq!(app.metric("rules_refused_by_opencti_total").await, 1);
    let management = app.management().await;
    let page = reqwest::get(format!("{management}/")).await.unwrap().text().await.unwrap();
    assert!(page.contains("Rules that are left out") && page.contains(&indicator), "{page}");
    assert!(!page.contains("Security Event Log Cleared"), "names are for operators");
    assert!(app.terminate().await.success());
    assert_eq!(app.log().matches("OpenCTI refuses the text of a rule").count(), 1);

    let home = &scene.stage.home;
    let listed = command::run(home, &["dead-letters", "refused"]).await.stdout;
    let words = "the rule Security Event Log Cleared is left out until ";
    assert!(listed.contains(words) && listed.contains(&indicator), "{listed}");
    let retry = ["dead-letters", "retry", "--rule"];
    let unknown = command::run(home, &[&retry[..], &["indicator--none"]].concat()).await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    let dry = command::run(home, &[&retry[..], &[&indicator, "--dry-run"]].concat()).await;
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert_eq!(scene.refused().await.len(), 1);
    let again = command::run(home, &[&retry[..], &[&indicator]].concat()).await;
    assert!(again.stdout.contains(&indicator), "{}", again.stdout);
    assert_eq!(scene.refused().await, []);
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.stage.home.unset("HARFANGLAB_INCIDENTS_IMPORT_START_DATE");
    scene.raise(1);
    assert_eq!(sent(&run(&scene.stage).await, "indicator").len(), 1, "OpenCTI is asked again");
}

/// Waits until the command and the page list the rule as left out, or not.
async fn until_listed(scene: &Scene, management: &str, is_listed: bool) {
    let listing = async {
        loop {
            let page = reqwest::get(format!("{management}/")).await.unwrap().text().await.unwrap();
            let command = command::run(&scene.stage.home, &["dead-letters", "refused", "--json"]);
            let rules = command.await.stdout;
            let rules = rules.lines().filter(|line| line.contains("left_out_until")).count();
            if page.contains("Rules that are left out") == is_listed
                && rules == usize::from(is_listed)
            {
                return;
            }
        }
    };
    tokio::time::timeout(patience(), listing).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_a_version_of_opencti_refused_is_listed_until_it_has_another_one() {
    let mut scene = Scene::on(Database::Sqlite).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(1);
    let first = run(&scene.stage).await;
    let indicator = refuse_rule_of(&scene.stage, &first);
    scene.work_off(&first).await;
    assert_eq!(scene.refused().await[0].platform, "7.260817.0");
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    scene.stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    // A service that cannot reach OpenCTI goes by the version that it had.
    scene.stage.opencti.go_down();
    let mut app = scene.stage.home.start(&["serve"]);
    let management = app.management().await;
    until_listed(&scene, &management, true).await;
    scene.stage.opencti.claim_version("7.260901.0");
    scene.stage.opencti.come_back();
    until_listed(&scene, &management, false).await;
    // It runs while OpenCTI is upgraded once more, without an outage.
    let journal = &scene.journal;
    let now = Clock::system().now();
    journal.work_opened("work", &[], now).await.unwrap();
    let refusal = RuleRefusal {
        indicator,
        name: "one".to_owned(),
        reason: "no".to_owned(),
        work: "work".to_owned(),
        event: None,
        refused_at: now,
    };
    journal.refuse_rule(&refusal).await.unwrap().unwrap();
    until_listed(&scene, &management, true).await;
    scene.stage.opencti.claim_version("7.261001.0");
    until_listed(&scene, &management, false).await;
    assert!(app.terminate().await.success());
}

#[tokio::test]
async fn a_refusal_that_is_read_late_counts_from_the_time_at_which_opencti_said_it() {
    let mut scene = Scene::on(Database::Sqlite).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(1);
    let first = run(&scene.stage).await;
    refuse_rule_of(&scene.stage, &first);
    let said_at = (Clock::system().now() + TimeDelta::seconds(5)).trunc_subsecs(3);
    scene.stage.opencti.date_errors(&said_at.to_rfc3339());
    scene.passed_seconds.fetch_add(86_400, Ordering::SeqCst);
    scene.work_off(&first).await;
    assert_eq!(scene.refused().await[0].refused_at, said_at);
}

#[tokio::test]
async fn a_refusal_by_a_version_before_an_upgrade_does_not_hold_for_the_version_after_it() {
    let mut scene = Scene::on(Database::Sqlite).await;
    scene.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    scene.raise(1);
    let before = run(&scene.stage).await;
    refuse_rule_of(&scene.stage, &before);
    scene.stage.opencti.claim_version("7.260901.0");
    scene.raise(1);
    let after = run(&scene.stage).await;
    scene.work_off(&before).await;
    assert_eq!(scene.refused().await, [], "nobody knows what the new version says");
    assert_eq!(sent(&after, "indicator").len(), 1);
    scene.raise(1);
    let last = run(&scene.stage).await;
    assert_eq!(sent(&last, "indicator").len(), 1);
    scene.work_off(&last).await;
    assert_eq!(scene.refused().await[0].platform, "7.260901.0");
}
