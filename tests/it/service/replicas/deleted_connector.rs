//! A connector that is deleted in OpenCTI, and is missed first by a replica that does not lead.

use harfanglab_incidents::{clock::Clock, demo::Generator};
use serde_json::Value;

use crate::support::{
    opencti::State,
    stage::{Stage, incidents_on_the_queue, post, start_in_role},
    stores::Database,
};

#[tokio::test]
async fn a_connector_that_is_deleted_and_comes_back_by_a_follower_gets_everything_again() {
    let journal = Database::Postgres.fresh().await;
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &journal.url);
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(29);
    let alerts: Vec<_> = (0..11).map(|_| generator.next_alert(now)).collect();
    for alert in &alerts[..10] {
        stage.console.add_alert(alert.api_item());
    }
    let mut leader = start_in_role(&stage, "leads").await;
    let id = stage.connector_id.clone();
    let is_there = |state: &State| state.connectors.contains_key(&id);
    stage.opencti.wait_for("the registration", is_there).await;
    let first = incidents_on_the_queue(&stage, 10).await;
    let has_cursors = |state: &State| {
        let kept = state.connectors[&id].state.as_ref();
        kept.is_some_and(|state| state.contains("last_incident"))
    };
    stage.opencti.wait_for("the cursors", has_cursors).await;
    let mut follower = start_in_role(&stage, "follows").await;
    // Deleted in the middle of that, the connector would be back without its queue.
    let registered = |line: &Value| (line["message"] == "registered with OpenCTI").then_some(());
    follower.wait_for_log("the follower's registration", registered).await;

    // What only the follower delivers.
    leader.freeze();
    stage.opencti.delete_connector(&stage.connector_id).await;
    stage.console.add_alert(alerts[10].api_item());
    let url = follower.webhook().await;
    assert_eq!(post(&url, &alerts[10].native()).await.0.as_u16(), 202);
    stage.opencti.wait_for("the connector is back", is_there).await;
    leader.thaw();

    let second = incidents_on_the_queue(&stage, 11).await;
    assert!(second.is_superset(&first), "{}", leader.log());
    for app in [&mut leader, &mut follower] {
        assert!(app.terminate().await.success(), "{}", app.log());
    }
}
