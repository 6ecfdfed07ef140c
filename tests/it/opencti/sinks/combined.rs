//! The binary with several sinks at once.

use harfanglab_incidents::{clock::Clock, demo::Generator};
use serde_json::Value;

use crate::support::{
    opencti::Personality,
    s3::S3Server,
    stage::{Stage, http},
    stores::open_sqlite,
};

/// A stage with one alert on the console, for a single run.
pub(super) async fn stage_with_an_alert(personality: Personality) -> Stage {
    let mut stage = Stage::new(personality).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let now = Clock::system().now();
    stage.console.seed(now);
    stage.console.add_alert(Generator::new(2).next_alert(now).api_item());
    stage
}

pub(super) fn with_s3(stage: &mut Stage, server: &S3Server) {
    stage.opencti.tell_s3(server.told());
    stage.home.set("CONNECTOR_SEND_TO_S3", "true");
    stage.home.set("CONNECTOR_SEND_TO_S3_FOLDER", &server.folder);
}

fn files(folder: &std::path::Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn an_alert_goes_to_the_api_to_a_folder_and_to_s3_without_rabbitmq() {
    let server = S3Server::connect();
    let mut stage = stage_with_an_alert(Personality::V7_260817_0).await;
    with_s3(&mut stage, &server);
    let folder = stage.home.path().join("bundles");
    stage.home.set("CONNECTOR_QUEUE_PROTOCOL", "api");
    stage.home.set("MQ_HOST", "no-such-host.invalid");
    stage.home.set("CONNECTOR_SEND_TO_DIRECTORY", "true");
    stage.home.set("CONNECTOR_SEND_TO_DIRECTORY_PATH", folder.to_str().unwrap());
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());

    let pushes = stage.opencti.state().pushes;
    assert_eq!(pushes.len(), 1);
    assert_eq!(stage.closed_works(1).await[0].id, pushes[0].work_id);
    let files = files(&folder);
    assert_eq!((files.len(), &files[0]["bundle_type"]), (1, &Value::from("DIRECTORY_BUNDLE")));
    let names = server.names().await;
    let object: Value = serde_json::from_str(&server.get(&names[0]).await.1).unwrap();
    assert_eq!(object["bundle"], files[0]["bundle"]);
    let count = |bundle: &Value| bundle["objects"].as_array().unwrap().len();
    assert_eq!(count(&pushes[0].bundle), count(&files[0]["bundle"]));
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0);
}

#[tokio::test]
async fn an_alert_is_delivered_only_when_every_sink_has_it() {
    let server = S3Server::connect();
    let mut stage = stage_with_an_alert(Personality::V7_260817_0).await;
    with_s3(&mut stage, &server);
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    stage.home.set("S3_SECRET_KEY", "hunter2");
    let mut app = stage.home.start(&["serve"]);
    stage.closed_works(1).await;
    app.wait_for_log("S3 refuses", |line| {
        (line["message"].as_str()?.starts_with("bundles could not be")
            && line["attributes"]["reason"].as_str()?.contains("S3_SECRET_KEY"))
        .then_some(())
    })
    .await;
    // The status page tells of each way out by itself.
    let page = http().get(app.management().await).send().await.unwrap().text().await.unwrap();
    let (before, of_s3) = page.split_once("Delivery to S3").unwrap();
    let (_, of_queue) = before.split_once("Delivery to RabbitMQ").unwrap();
    assert!(of_queue.contains("no trouble since the start"), "{of_queue}");
    let of_s3 = of_s3.split("</li>").next().unwrap();
    assert!(of_s3.contains("in trouble for") && of_s3.contains("S3_SECRET_KEY"), "{of_s3}");
    assert!(app.terminate().await.success(), "{}", app.log());
    assert!(!app.log().contains("hunter2"), "{}", app.log());
    let url = format!("sqlite:{}", stage.home.journal().display());
    let console = stage.console.url().to_string();
    let counts = open_sqlite(&url, &console).await.counts().await.unwrap();
    assert_eq!((counts.pending, counts.delivered, counts.dead), (1, 0, 0), "the queue has it");
}

#[tokio::test]
async fn without_the_queue_there_are_no_works_and_files_say_that_a_person_decides() {
    let server = S3Server::connect();
    let mut stage = stage_with_an_alert(Personality::V6_9_28).await;
    with_s3(&mut stage, &server);
    stage.home.set("CONNECTOR_SEND_TO_QUEUE", "false");
    stage.home.set("CONNECTOR_VALIDATE_BEFORE_IMPORT", "true");
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    assert!(stage.opencti.works().is_empty() && stage.opencti.state().drafts.is_empty());
    let names = server.names().await;
    let object: Value = serde_json::from_str(&server.get(&names[0]).await.1).unwrap();
    assert_eq!(object["connector"]["validate_before_import"], true);
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0);
}
