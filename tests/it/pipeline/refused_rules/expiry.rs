//! A refused rule is left out until its text changes, the platform's version changes, seven days pass, a
//! reset starts the import over, or somebody asks for it.

use chrono::TimeDelta;
use harfanglab_incidents::{
    demo::{DemoAlert, Generator, Kind},
    intake::dialect::Dialect,
    journal::RuleRefusal,
    opencti::OpenCti,
    stix::Bundle,
};

use crate::support::{
    opencti::{FakeOpenCti, Personality},
    pipeline::{TestPipeline, has, start},
};

/// A pipeline, and what OpenCTI refused by the version that it has.
struct Scene {
    rig: TestPipeline,
    platform: FakeOpenCti,
    client: OpenCti,
    generator: Generator,
    delivered: usize,
    refused: RuleRefusal,
    /// The text of the rule.
    pattern: String,
}

impl Scene {
    /// The rule of the generator's alerts has just been refused.
    async fn new() -> Self {
        let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
        let client = OpenCti::new(&platform.settings()).unwrap();
        client.version().await.unwrap();
        let rig = TestPipeline::start_on(client.clone()).await;
        rig.console.seed(start());
        let generator = Generator::new(7);
        let refused = RuleRefusal {
            indicator: String::new(),
            name: "a rule".to_owned(),
            reason: "not correctly formatted".to_owned(),
            work: "work".to_owned(),
            event: None,
            refused_at: start(),
        };
        let mut scene = Self {
            rig,
            platform,
            client,
            generator,
            delivered: 0,
            refused,
            pattern: String::new(),
        };
        let first = scene.bundle().await;
        let indicator = first.objects.iter().find(|object| object["type"] == "indicator").unwrap();
        scene.refused.indicator = indicator["id"].as_str().unwrap().to_owned();
        scene.pattern = indicator["pattern"].as_str().unwrap().to_owned();
        scene.note_version().await;
        scene.refuse().await;
        assert!(!scene.sends_rule().await, "it is left out");
        scene
    }

    /// As the service does once OpenCTI answers.
    async fn note_version(&self) {
        self.client.version().await.unwrap();
        let version = self.client.known_version().unwrap().to_string();
        self.rig.journal.note_platform_version(&version).await.unwrap();
        self.rig.pass(TimeDelta::seconds(2)).await;
    }

    /// The rule is refused in a work that was opened just now.
    async fn refuse(&self) {
        let journal = &self.rig.journal;
        journal.remove_work("work", &[]).await.unwrap();
        journal.work_opened("work", &[], start()).await.unwrap();
        journal.refuse_rule(&self.refused).await.unwrap().unwrap();
        self.rig.pass(TimeDelta::seconds(2)).await;
    }

    fn alert(&mut self) -> DemoAlert {
        self.generator.alert(Kind::SigmaEventLog, start())
    }

    /// Returns the bundle of one more alert of the rule.
    async fn bundle(&mut self) -> Bundle {
        let item = self.alert().api_item();
        self.rig.sweep(&item).await;
        self.next().await
    }

    async fn next(&mut self) -> Bundle {
        self.delivered += 1;
        self.rig.delivered(self.delivered).await.pop().unwrap()
    }

    /// Tells if the next alert leaves with indicator, sighting and relations, or without any of them.
    async fn sends_rule(&mut self) -> bool {
        let bundle = self.bundle().await;
        self.is_with_rule(&bundle)
    }

    fn is_with_rule(&self, bundle: &Bundle) -> bool {
        let is_sent = has(bundle, "indicator");
        assert_eq!(has(bundle, "sighting"), is_sent);
        let of_refused = |object: &&serde_json::Map<String, serde_json::Value>| {
            object["type"] == "relationship" && object["source_ref"] == *self.refused.indicator
        };
        assert_eq!(bundle.objects.iter().any(|object| of_refused(&object)), is_sent);
        assert!(has(bundle, "incident") && has(bundle, "relationship"), "the rest goes on");
        is_sent
    }
}

#[tokio::test]
async fn a_refused_rule_is_left_out_for_seven_days() {
    let mut scene = Scene::new().await;
    scene.rig.jump(TimeDelta::days(7) - TimeDelta::minutes(1));
    assert!(!scene.sends_rule().await);
    scene.rig.jump(TimeDelta::minutes(2));
    assert!(scene.sends_rule().await);
    scene.refused.refused_at = start() + TimeDelta::days(8);
    scene.refuse().await;
    assert!(!scene.sends_rule().await, "refused again");
}

#[tokio::test]
async fn a_refused_rule_is_sent_again_once_the_platform_has_another_version() {
    let mut scene = Scene::new().await;
    scene.platform.claim_version("7.260901.0");
    scene.note_version().await;
    assert!(scene.sends_rule().await);
    scene.refuse().await;
    assert!(!scene.sends_rule().await, "refused by this version, too");
}

#[tokio::test]
async fn a_refused_rule_is_sent_again_once_its_text_has_changed() {
    let mut scene = Scene::new().await;
    let mut item = scene.alert().api_item();
    item["rule_content"] = scene.pattern.replace("status: stable", "status: test").into();
    scene.rig.push(Dialect::NativeAlert, &item).await;
    let changed = scene.next().await;
    assert!(has(&changed, "indicator") && has(&changed, "sighting"));
    assert!(!scene.sends_rule().await, "the text as it was");
}

#[tokio::test]
async fn a_refused_rule_is_sent_again_after_a_reset_and_once_somebody_asks_for_it() {
    let mut scene = Scene::new().await;
    scene.rig.journal.start_over(&[]).await.unwrap();
    scene.rig.pass(TimeDelta::seconds(2)).await;
    assert!(scene.sends_rule().await);
    scene.refuse().await;
    assert!(!scene.sends_rule().await);
    let indicator = scene.refused.indicator.clone();
    assert_eq!(scene.rig.journal.forget_refused_rules(Some("indicator--other")).await.unwrap(), 0);
    assert_eq!(scene.rig.journal.forget_refused_rules(Some(&indicator)).await.unwrap(), 1);
    scene.rig.pass(TimeDelta::seconds(2)).await;
    assert!(scene.sends_rule().await);
}

/// An alert of the threat, sent with its rule after all refusals were forgotten.
async fn alert_of_threat(scene: &mut Scene) -> Bundle {
    scene.rig.journal.forget_refused_rules(None).await.unwrap();
    scene.rig.pass(TimeDelta::seconds(2)).await;
    let mut item = scene.alert().api_item();
    item["threat_key"] = "8123".into();
    scene.rig.sweep(&item).await;
    let alert = scene.next().await;
    assert!(scene.is_with_rule(&alert));
    alert
}

fn case_refers_to(bundle: &Bundle, id: &str) -> bool {
    let case = bundle.objects.iter().find(|object| object["type"] == "case-incident").unwrap();
    case["object_refs"].as_array().unwrap().iter().any(|it| *it == id)
}

#[tokio::test]
async fn a_case_leaves_once_without_the_indicator_of_a_refused_rule_and_with_it_once_an_alert_brings_it()
 {
    let mut scene = Scene::new().await;
    let alert = alert_of_threat(&mut scene).await;
    scene.refuse().await;
    scene.rig.rest().await;
    let threat = serde_json::json!({
        "id": "8123", "slug": "brave-otter", "status": "new", "level": "high",
        "creation_date": start().to_rfc3339(), "last_update": start().to_rfc3339(),
        "top_agents": [], "top_impacted_users": [], "top_rules": [],
    });
    scene.rig.push(Dialect::NativeThreat, &threat).await;
    let bundle = scene.next().await;
    let refers_to = |id: &str| case_refers_to(&bundle, id);
    let incident = alert.objects.iter().find(|object| object["type"] == "incident").unwrap();
    assert!(refers_to(incident["id"].as_str().unwrap()) && !refers_to(&scene.refused.indicator));
    let delivered = scene.delivered as u64;
    let counts = scene.rig.until("all left", |counts| counts.delivered == delivered).await;
    assert_eq!(counts.pending, 0, "the case is complete");

    // Once the rule is asked for again, the next alert brings it, to the case as well.
    alert_of_threat(&mut scene).await;
    scene.rig.pass(TimeDelta::seconds(20)).await;
    let bundle = scene.next().await;
    let refers_to = |id: &str| case_refers_to(&bundle, id);
    assert!(refers_to(&scene.refused.indicator), "{bundle:?}");
}
