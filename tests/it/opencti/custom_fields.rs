//! Incidents carry what an administrator can map to custom fields, until a field refuses it.

use chrono::TimeDelta;
use harfanglab_incidents::{
    alert::Group,
    config::CustomProperties,
    convert::{ConvertSettings, convert_alert},
    demo::{Generator, Kind},
    opencti::Feature,
};
use serde_json::{Map, Value, json};

use crate::support::{
    opencti::Personality,
    pipeline::{TestPipeline, incident, start},
    post_delivery_checks::{PostDeliveryChecks, delivered, run, time_passes},
    samples::{self, text},
};

/// The properties of our own.
fn custom(incident: &Map<String, Value>) -> Map<String, Value> {
    let own = incident.iter().filter(|(name, _)| name.starts_with("x_harfanglab_"));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn an_incident_carries_the_facts_of_its_alert_by_name_and_the_score() {
    let mut alert = samples::sigma_alert();
    alert.tenant = text("cedar");
    alert.groups.push(Group { id: None, name: text(" ") });
    alert.quarantine = Some(1);
    let settings = ConvertSettings {
        incident_score: Some(70),
        custom_properties: CustomProperties::Auto,
        ..samples::settings()
    };
    let conversion = convert_alert(&alert, None, &samples::never_seen(), &settings);
    let sent = incident(&conversion.bundle);
    let expected = json!({
        "x_harfanglab_rule": "Credential Dump of a Browser",
        "x_harfanglab_alert_id": alert.unique_id,
        "x_harfanglab_status": "new",
        "x_harfanglab_level": "high",
        "x_harfanglab_agent_id": "aa11",
        "x_harfanglab_tenant": "cedar",
        "x_harfanglab_groups": ["Front desk"],
        "x_harfanglab_action": ["blocked", "quarantined"],
    });
    assert_eq!(Value::Object(custom(sent)), expected);
    assert_eq!(sent["x_opencti_score"], 70);

    let conversion = convert_alert(&alert, None, &samples::never_seen(), &samples::settings());
    let sent = incident(&conversion.bundle);
    assert_eq!(custom(sent), Map::new(), "off");
    assert!(!sent.contains_key("x_opencti_score"));
    alert = samples::alert("sigma");
    (alert.status, alert.level, alert.agent.id) = (None, text(" "), None);
    alert.groups.clear();
    let conversion = convert_alert(&alert, None, &samples::never_seen(), &settings);
    let sent = custom(incident(&conversion.bundle));
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["x_harfanglab_alert_id"]);
}

#[tokio::test]
async fn an_incident_that_a_custom_field_refuses_leaves_once_more_without_these_properties() {
    let (mut stage, _, first) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    stage.opencti.change_knowledge(|known| {
        known.add_custom_field("x_harfanglab_status", &["closed"]);
    });
    stage.opencti.work_off(&first);
    stage.opencti.complete_closed_works();
    let incidents = || stage.opencti.state().knowledge.of_type("incident").len();
    assert_eq!(incidents(), 0, "the field has no such value");
    {
        let after = PostDeliveryChecks::new(&stage).await;
        assert!(after.client.has(Feature::CustomProperties));
        after.round_after(TimeDelta::minutes(1)).await;
        assert!(!after.client.has(Feature::CustomProperties), "none goes along from now on");
        assert_eq!(after.journal.pending().await.unwrap(), 1);
        let mut rig = TestPipeline::start_on(after.client.clone()).await;
        rig.sweep(&Generator::new(5).alert(Kind::SigmaProcess, start()).api_item()).await;
        assert_eq!(custom(incident(&rig.delivered(1).await[0])), Map::new());
    }
    time_passes(&stage).await;
    stage.home.set("HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES", "off");
    let again = run(&stage).await;
    stage.opencti.work_off(&again);
    assert_eq!(incidents(), 1);
    let known = stage.opencti.state().knowledge;
    assert!(!known.sightings.is_empty() && known.of_type("relationship").len() > 3);
}
