//! A rule's text is checked, and the alert converted, as the present version of OpenCTI takes it.

use harfanglab_incidents::{
    demo::{Generator, Kind},
    intake::dialect::Dialect,
    opencti::OpenCti,
};

use crate::support::{
    opencti::{FakeOpenCti, Personality},
    pipeline::{TestPipeline, has, start},
};

/// pySigma refuses its id.
const HOUSE_RULE: &str = "id: SOC-0042\ntitle: a rule\nlogsource: {product: windows}\n\
                          detection: {a: {b: c}, condition: a}\n";

#[tokio::test]
async fn a_rule_is_checked_as_the_version_does_that_opencti_answered_last() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let client = OpenCti::new(&platform.settings()).unwrap();
    let mut rig = TestPipeline::start_on(client.clone()).await;
    rig.console.seed(start());
    let mut generator = Generator::new(7);
    let versions = ["7.260309.0-lts.2", "7.260817.0", "7.260309.0-lts.2"];
    for (delivered, (version, is_sent)) in versions.into_iter().zip([true, false, true]).enumerate()
    {
        platform.claim_version(version);
        client.version().await.unwrap();
        let mut item = generator.alert(Kind::SigmaEventLog, start()).api_item();
        item["rule_content"] = HOUSE_RULE.into();
        rig.push(Dialect::NativeAlert, &item).await;
        let bundle = rig.delivered(delivered + 1).await.pop().unwrap();
        assert_eq!(has(&bundle, "indicator"), is_sent, "{version}");
    }
}
