//! Two consoles, one real binary, one OpenCTI: each console by its own road into one queue.

mod independence;
mod replicas;
mod state;

use std::{fs, net::TcpListener};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, DemoConsole, DemoConsoleConfig, Generator},
};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::support::{
    app::{App, WEBHOOK_SECRET},
    opencti::{FakeWork, Personality},
    stage::{Stage, alerts_in, http, incident_names},
    stores::{fresh_schema, server},
    waiting::until,
};

pub(crate) const PARIS_SECRET: &str = "a-webhook-secret-of-paris";

/// A service for the stage's console, `lyon`, and for another, `paris`. Both have shown `shared`, an
/// alert with the same id.
pub(crate) struct Two {
    pub(crate) stage: Stage,
    paris: DemoConsole,
    generator: Generator,
    shared: DemoAlert,
}

impl Two {
    pub(crate) async fn new() -> Self {
        let mut stage = Stage::new(Personality::V7_260817_0).await;
        stage.home.unset("HARFANGLAB_INCIDENTS_URL");
        stage.home.unset("HARFANGLAB_INCIDENTS_TOKEN");
        let paris = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", &format!("127.0.0.1:{port}"));
        stage.home.set("HARFANGLAB_INCIDENTS_LISTEN", "127.0.0.1:0");
        let now = Clock::system().now();
        let mut generator = Generator::new(90);
        let shared = generator.next_alert(now - TimeDelta::minutes(10));
        for console in [&*stage.console, &paris] {
            console.seed(now);
            console.add_alert(shared.api_item());
        }
        let two = Self { stage, paris, generator, shared };
        two.write_configuration();
        two
    }

    fn write_configuration(&self) {
        let folder = self.stage.home.path();
        let token = self.paris.settings().token;
        fs::write(folder.join("paris-token"), token.expose_secret()).unwrap();
        fs::write(folder.join("paris-secret"), PARIS_SECRET).unwrap();
        let text = format!(
            "consoles:\n\
             - name: lyon\n  url: {}\n  token: {}\n  webhook_secret: {WEBHOOK_SECRET}\n  \
             author: EDR Lyon\n\
             - name: paris\n  url: {}\n  token_file: paris-token\n  \
             webhook_secret_file: paris-secret\n  author: EDR Paris\n  default_marking: TLP:GREEN\n",
            self.stage.console.url(),
            self.stage.console.settings().token.expose_secret(),
            self.paris.url(),
        );
        fs::write(folder.join("config.yml"), text).unwrap();
    }

    /// Runs a command to its end; answers its exit code, its output and its log.
    async fn command(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut app = self.stage.home.start(arguments);
        let mut stdout = app.stdout();
        let mut output = String::new();
        stdout.read_to_string(&mut output).await.unwrap();
        (app.exit().await.code(), output, app.whole_log().await)
    }

    /// A new alert that the console shows.
    pub(crate) fn alert(&mut self, console: &str) -> DemoAlert {
        let alert = self.generator.next_alert(Clock::system().now());
        let console = if console == "paris" { &self.paris } else { &*self.stage.console };
        console.add_alert(alert.api_item());
        alert
    }

    /// Waits until so many alerts are delivered; answers the works.
    pub(crate) async fn delivered(&self, alerts: usize) -> Vec<FakeWork> {
        let works = self
            .stage
            .opencti
            .wait_for("the alerts are delivered", |state| alerts_in(&state.works) >= alerts)
            .await
            .works;
        assert_eq!(alerts_in(&works), alerts, "and no more");
        works
    }

    /// Runs every command about consoles, of which lyon is dead.
    async fn each_says_its_own(&self, when: &str) {
        for (arguments, of_paris, of_lyon) in OF_BOTH {
            let (code, said, log) = self.command(arguments).await;
            assert_eq!(code, Some(1), "{when}: {arguments:?}: {said}{log}");
            assert!(said.starts_with(of_paris), "{when}: {arguments:?}: {said}{log}");
            assert_eq!(said.matches("lyon").count(), 0, "{when}: {arguments:?}: {said}");
            let failure = log.lines().find(|line| line.starts_with(of_lyon)).unwrap_or_default();
            assert!(
                failure.contains("HarfangLab cannot be reached"),
                "{when}: {arguments:?}: {log}"
            );
        }
    }

    fn work_names(&self) -> Vec<String> {
        self.stage.opencti.works().into_iter().map(|work| work.name).collect()
    }
}

pub(crate) async fn post(url: &str, secret: &str, alert: &DemoAlert) -> StatusCode {
    let request = http().post(url).header("Authorization", secret).json(&alert.native());
    request.send().await.unwrap().status()
}

pub(crate) async fn both_swept(app: &mut App) {
    for console in ["lyon", "paris"] {
        app.wait_for_log("its sweep is done", |line| {
            let is_it = line["message"] == "the sweep is done";
            (is_it && line["attributes"]["console"] == console).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn two_consoles_import_into_one_queue_each_by_its_own_road_and_a_restart_goes_on() {
    Box::pin(import_each_by_its_own_road(Two::new().await, "alone")).await;
}

#[tokio::test]
async fn two_consoles_share_a_journal_on_postgresql_as_well() {
    let mut two = Two::new().await;
    let journal = fresh_schema(&server()).await;
    two.stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &journal);
    Box::pin(import_each_by_its_own_road(two, "leads")).await;
}

async fn import_each_by_its_own_road(mut two: Two, role: &str) {
    let mut app = two.stage.home.start(&["serve"]);
    both_swept(&mut app).await;
    let endpoint = app.webhook().await;
    let at = |console: &str| endpoint.replace("/harfanglab", &format!("/{console}"));
    let (of_lyon, of_paris) = (two.alert("lyon"), two.alert("paris"));
    assert_eq!(post(&at("lyon"), WEBHOOK_SECRET, &of_lyon).await, StatusCode::ACCEPTED);
    assert_eq!(post(&at("paris"), PARIS_SECRET, &of_paris).await, StatusCode::ACCEPTED);
    // A secret opens its own door alone.
    assert_eq!(post(&at("paris"), WEBHOOK_SECRET, &of_lyon).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&at("lyon"), PARIS_SECRET, &of_paris).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&endpoint, WEBHOOK_SECRET, &of_lyon).await, StatusCode::NOT_FOUND);

    let works = two.delivered(4).await;
    let messages = two.stage.messages_of(&works).await;
    assert_eq!(incident_names(&messages).len(), 4, "the shared one from each");
    let objects = messages.iter().flat_map(|it| it.bundle["objects"].as_array().unwrap());
    let authors: Vec<&str> = objects.filter_map(|object| object["name"].as_str()).collect();
    assert!(authors.contains(&"EDR Lyon") && authors.contains(&"EDR Paris"), "{authors:?}");
    let names = two.work_names();
    for console in ["HarfangLab (lyon): ", "HarfangLab (paris): "] {
        assert!(names.iter().any(|name| name.starts_with(console)), "{names:?}");
    }

    // A delivery is on the queue before the journal has its outcome.
    for console in ["lyon", "paris"] {
        let delivered = format!("journal_events{{state=\"delivered\",console=\"{console}\"}}");
        until(&delivered, async || (app.metric(&delivered).await == 2).then_some(())).await;
    }
    let management = app.management().await;
    let page = http().get(format!("{management}/metrics")).send().await.unwrap();
    let page = page.text().await.unwrap();
    for console in ["lyon", "paris"] {
        let accepted = format!(
            "events_received_total{{origin=\"push\",result=\"accepted\",console=\"{console}\"}} 1"
        );
        assert!(page.contains(&accepted), "{accepted}\n{page}");
    }
    assert!(page.contains("published_messages_total ") && !page.contains("console=\"harfanglab\""));
    let ready = http().get(format!("{management}/readyz")).send().await.unwrap();
    let ready: Value = ready.json().await.unwrap();
    assert_eq!((&ready["role"], &ready["journal"]["delivered"]), (&json!(role), &json!(4)));
    assert_eq!(ready["consoles"]["paris"]["journal"]["delivered"], 2, "{ready}");

    commands_ask_the_service(&mut two, &management).await;
    assert!(app.terminate().await.success());

    // What the consoles have is known, by the cursors of each.
    let mut app = two.stage.home.start(&["serve"]);
    both_swept(&mut app).await;
    let (new, known) = app
        .wait_for_log("paris was swept again", |line| {
            let told = &line["attributes"];
            (told["console"] == "paris" && line["message"] == "the sweep is done")
                .then(|| (told["new"].as_u64(), told["known"].as_u64()))
        })
        .await;
    assert!(new == Some(0) && known > Some(0), "{new:?} {known:?}");
    assert!(app.terminate().await.success());
    assert_eq!(alerts_in(&two.stage.opencti.works()), 5, "nothing was sent again");
}

/// Beside the service the commands ask it, for one console or for both.
async fn commands_ask_the_service(two: &mut Two, management: &str) {
    let missed = two.alert("paris");
    let (code, said, log) = two.command(&["sweep", "--console", "paris"]).await;
    assert!(code == Some(0) && said.starts_with("paris: swept: 1 new"), "{said}{log}");
    jobs_are_of_their_console(management).await;
    let (code, said, log) = two.command(&["sweep"]).await;
    assert!(code == Some(0) && said.contains("lyon: swept: 0 new, "), "{said}{log}");
    let (code, _, log) = two.command(&["sweep", "--console", "rome"]).await;
    assert!(code == Some(64) && log.contains("there is no rome, only lyon, paris"), "{log}");
    let (_, said, _) = two.command(&["events", "show", missed.unique_id()]).await;
    assert!(said.contains(", console paris\n") && !said.contains("console lyon"), "{said}");
    let (_, said, _) = two.command(&["events", "show", two.shared.unique_id()]).await;
    assert!(said.contains(", console lyon\n") && said.contains(", console paris\n"), "{said}");
    two.delivered(5).await;
}

/// One job was done, for paris.
async fn jobs_are_of_their_console(management: &str) {
    for (job, status) in [
        ("1", StatusCode::NOT_FOUND),
        ("1?console=rome", StatusCode::NOT_FOUND),
        ("1?console=paris", StatusCode::NOT_FOUND),
    ] {
        let cancelled = http().delete(format!("{management}/jobs/{job}")).send().await.unwrap();
        assert_eq!(cancelled.status(), status, "{job}");
    }
    let jobs: Value =
        http().get(format!("{management}/jobs")).send().await.unwrap().json().await.unwrap();
    let states = jobs["consoles"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|it| (&it["name"], &it["progress"]["state"])).collect();
    assert_eq!(states, [(&json!("lyon"), &json!("none")), (&json!("paris"), &json!("done"))]);
    let page = http().get(format!("{management}/")).send().await.unwrap().text().await.unwrap();
    for words in ["Newest job of paris", "Last sweep of lyon", "Delivery to RabbitMQ of paris"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Newest job of lyon"), "{page}");
}

#[tokio::test]
async fn a_dead_letter_and_a_new_secret_are_of_the_console_that_they_came_for() {
    let mut two = Two::new().await;
    let mut app = two.stage.home.start(&["serve"]);
    both_swept(&mut app).await;
    let paris = app.webhook().await.replace("/harfanglab", "/paris");
    let odd = serde_json::json!({ "something": "new" });
    let request = http().post(&paris).header("Authorization", PARIS_SECRET).json(&odd);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["dead_letters"], 1, "{answer}");
    let (_, said, log) = two.command(&["dead-letters", "list", "--json"]).await;
    let letter: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{log}"));
    assert_eq!(letter["console"], "paris");
    let id = letter["id"].to_string();
    let (_, said, _) = two.command(&["dead-letters", "--console", "lyon", "list"]).await;
    assert!(said.contains("no dead letters"), "{said}");
    let (code, said, _) = two.command(&["dead-letters", "drop", &id, "--yes"]).await;
    assert!(code == Some(0) && said.contains("is dropped"), "{said}");
    let (code, _, log) =
        two.command(&["dead-letters", "retry", "--dropped", "--console", "lyon", &id]).await;
    assert!(code == Some(1) && log.contains("no dropped letter"), "{log}");

    fs::write(two.stage.home.path().join("paris-secret"), "the-next-secret-of-paris").unwrap();
    app.hang_up();
    app.wait_for_log("paris has another secret", |line| {
        let is_it = line["message"] == "the webhook's secrets were replaced";
        (is_it && line["attributes"]["console"] == "paris").then_some(())
    })
    .await;
    let alert = two.alert("paris");
    assert_eq!(post(&paris, PARIS_SECRET, &alert).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&paris, "the-next-secret-of-paris", &alert).await, StatusCode::ACCEPTED);
    let lyon = paris.replace("/paris", "/lyon");
    assert_eq!(post(&lyon, WEBHOOK_SECRET, &alert).await, StatusCode::ACCEPTED, "as before");
    assert!(app.terminate().await.success());
}

#[tokio::test]
async fn opencti_is_told_the_least_cursor_and_a_reset_there_concerns_both_consoles() {
    let mut two = Two::new().await;
    two.alert("paris");
    let (code, said, log) = two.command(&["sweep"]).await;
    assert!(code == Some(0) && said.contains("lyon: swept: 1 new"), "{said}{log}");
    let state = |two: &Two| -> Value {
        let connector = two.stage.opencti.connector(&two.stage.connector_id);
        serde_json::from_str(&connector.state.unwrap()).unwrap()
    };
    let told = state(&two);
    let of = |console: &str| told["consoles"][console]["last_incident_datetime"].clone();
    assert!(of("lyon").as_str() < of("paris").as_str(), "{told}");
    assert_eq!(told["last_incident_datetime"], of("lyon"), "who goes back to one skips nothing");

    assert_eq!(alerts_in(&two.stage.opencti.works()), 3);
    two.stage.opencti.keep_state(&two.stage.connector_id, "null");
    let (code, said, log) = two.command(&["sweep"]).await;
    assert!(code == Some(0) && said.contains("lyon: swept: 1 new"), "{said}{log}");
    assert!(said.contains("paris: swept: 2 new"), "{said}");
    assert_eq!(alerts_in(&two.stage.opencti.works()), 6, "everything once more");
    assert_eq!(state(&two)["consoles"].as_object().unwrap().len(), 2);

    // A journal that is lost takes each console's own cursor from there.
    fs::remove_file(two.stage.home.journal()).unwrap();
    let (code, said, log) = two.command(&["sweep", "--console", "paris"]).await;
    assert!(code == Some(0), "{said}{log}");
    assert_eq!(state(&two)["consoles"], told["consoles"]);
}

#[tokio::test]
async fn check_says_of_each_console_what_is_right_or_wrong() {
    let two = Two::new().await;
    fs::write(two.stage.home.path().join("paris-token"), "not-the-token-of-paris").unwrap();
    let (code, said, log) = two.command(&["check"]).await;
    assert_eq!(code, Some(1), "{said}{log}");
    let line =
        |begins: &str| said.lines().find(|line| line.starts_with(begins)).unwrap_or_default();
    assert!(line("ok     HarfangLab (lyon)").contains(two.stage.console.url().as_str()), "{said}");
    assert!(line("WRONG  HarfangLab (paris)").contains("token"), "{said}");
    assert!(line("note   endpoint (paris)").contains("POST /webhooks/paris"), "{said}");
    assert!(!said.contains("not-the-token"), "{said}");
}

/// The words that a command is to say of paris, and of lyon, which is dead.
const OF_BOTH: [(&[&str], &str, &str); 3] = [
    (&["sweep"], "paris: swept: ", "error: lyon: "),
    (&["backfill", "--since", "P1D"], "paris: backfilled: ", "error: lyon: "),
    (&["backfill", "--since", "P1D", "--dry-run"], "paris: 1 items from ", "error: lyon: "),
];

#[tokio::test]
async fn a_dead_console_keeps_no_command_from_the_other_one_and_is_named() {
    let mut two = Two::new().await;
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = two.stage.home.path().join("config.yml");
    let text = fs::read_to_string(&file).unwrap();
    let lyon = two.stage.console.url().to_string();
    fs::write(&file, text.replace(&lyon, &format!("http://{dead}/"))).unwrap();
    two.each_says_its_own("without a service").await;
    two.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let (code, _, log) = two.command(&["serve"]).await;
    assert!(code == Some(1) && log.contains("lyon: the sweep did not finish"), "{log}");
    two.stage.home.unset("CONNECTOR_RUN_AND_TERMINATE");

    let mut app = two.stage.home.start(&["serve"]);
    app.management().await;
    two.each_says_its_own("beside a service").await;
    assert!(app.terminate().await.success());
    two.delivered(1).await;
}
