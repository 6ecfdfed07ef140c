//! Settings that both benchmarks convert by, and a console that is never asked.

use std::{collections::BTreeMap, time::Duration};

use harfanglab_incidents::{
    alert::element::MaxValues,
    config::{
        AccountIdentity, CustomProperties, HarfangLabSettings, IncidentNaming, Marking,
        RawAttachment, TlsVerification,
    },
    convert::{ConvertSettings, NetworkTraffic, RuleChecker},
};

/// As most users would have it.
pub(crate) fn convert() -> ConvertSettings {
    ConvertSettings {
        author: "HarfangLab".to_owned(),
        marking: Marking::Amber,
        score: Some(50),
        incident_score: Some(50),
        custom_properties: CustomProperties::Auto,
        naming: IncidentNaming::Title,
        accounts: AccountIdentity::Login,
        raw: RawAttachment::None,
        network_traffic: NetworkTraffic::Sent,
        rule_checker: RuleChecker::Strict,
        workflow: BTreeMap::new(),
        console_url: "https://console.example:8443/".parse().expect("it is a URL"),
    }
}

/// A console that nobody asks.
pub(crate) fn console() -> HarfangLabSettings {
    HarfangLabSettings {
        url: "https://console.example:8443/".parse().expect("it is a URL"),
        token: "never-used".to_owned().into(),
        tls: TlsVerification::System,
        requests_per_second: 1,
        concurrency: 1,
        request_timeout: Duration::from_secs(1),
        max_values: MaxValues::default(),
    }
}
