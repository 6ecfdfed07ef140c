//! One alert becomes one incident, with everything it shows.

use serde_json::Map;

use super::{
    Conversion, ConvertSettings, IncidentIdentity, Known, MergedSightings, Sighted,
    attack::Named,
    dates,
    dates::Moments,
    description,
    draft::{Draft, Finished},
    file,
    file::SeenFile,
    further_iocs, host,
    indicator::{self, Basis},
    label, naming, network, process, properties, registry, rule,
};
use crate::{
    alert::{
        Alert,
        intelligence::{Intelligence, IocRule},
    },
    config::CustomProperties,
    stix::{
        object::{ExternalReference, Incident, Sighting},
        time::Timestamp,
    },
};

/// Converts an alert with what is known of its rule: `intelligence` from the console, else what
/// the alert itself carries.
pub fn convert_alert(
    alert: &Alert,
    intelligence: Option<&Intelligence>,
    known: &Known,
    settings: &ConvertSettings,
) -> Conversion {
    let own = if intelligence.is_none() { rule::own_intelligence(alert) } else { None };
    let intelligence = intelligence.or(own.as_ref());
    let mut draft = Draft::new(settings);
    let moments = dates::moments(alert, known, &mut draft);
    let frozen_name = known.identity.as_ref().map(|identity| identity.name.clone());
    let name = frozen_name.unwrap_or_else(|| naming::incident_name(alert, intelligence, settings));

    let system_id = host::add_host(alert, &mut draft);
    let files = add_evidence(alert, settings, &mut draft);
    if intelligence.is_none() && rule::carries_unusable_sigma(alert) {
        let why = "the rule in the alert is no Sigma rule with logsource and detection; the indicator and \
                   sighting are sent once the console has the rule";
        draft.leave_out("indicator", why);
    }
    let rule = intelligence.map(indicator::read);
    let (rule_tags, rule_links) =
        rule.as_ref().map(|rule| (rule.tags.clone(), rule.links.clone())).unwrap_or_default();
    let named = Named::by_alert(alert, &rule_tags);
    let technique_ids = named.add_techniques(&mut draft);
    let basis = Basis { alert, named: &named, files: &files, moments, settings };
    let indicator = rule.and_then(|rule| indicator::add_indicator(rule, basis, &mut draft));
    let further_indicators = further_iocs::add_further(intelligence, basis, &mut draft);

    let links = label::alert_links(alert, &rule_links, &settings.console_url);
    let workflow_id = alert.status.as_ref().and_then(|status| settings.workflow.get(status));
    let incident = Incident {
        created: moments.created,
        modified: moments.modified,
        first_seen: moments.first_seen,
        last_seen: moments.last_seen,
        severity: severity(alert.level.as_deref()),
        incident_type: if is_ransomware(&alert.alert_type) { "ransomware" } else { "alert" },
        source: settings.author.clone(),
        description: description::description(alert, &name, &named, matched_ioc(intelligence)),
        labels: label::labels(alert, &rule_tags),
        x_opencti_workflow_id: workflow_id.cloned(),
        x_opencti_score: settings.incident_score,
        external_references: links.clone(),
        custom: match settings.custom_properties {
            CustomProperties::Auto => properties::of_alert(alert),
            CustomProperties::Off => Map::new(),
        },
        name: name.clone(),
    };
    let root_id = draft.object(&incident);
    relate(&root_id, system_id.as_deref(), &technique_ids, moments.created, &mut draft);
    let place_id = system_id.unwrap_or_else(|| draft.author_id().to_owned());
    let sighted_as = |id: &str| sighted_at(alert, id, &place_id, moments);
    let sighted = indicator.as_ref().map(|indicator| sighted_as(&indicator.id));
    let further: Vec<Sighted> = further_indicators.iter().map(|it| sighted_as(&it.id)).collect();
    add_sightings(sighted.as_ref(), &further, &root_id, moments, &links, known, &mut draft);

    let identity = IncidentIdentity { name, created: moments.created.0 };
    let Finished { bundle, common, left_out } = draft.finish();
    Conversion {
        bundle,
        root_id,
        identity,
        sighted,
        indicator,
        further_indicators,
        note_id: None,
        common,
        left_out,
    }
}

fn matched_ioc(intelligence: Option<&Intelligence>) -> Option<&IocRule> {
    match intelligence? {
        Intelligence::Ioc(ioc) => Some(ioc),
        Intelligence::Sigma(_) | Intelligence::Yara(_) => None,
    }
}

/// Adds what the alert shows beside its host; answers the files.
fn add_evidence(alert: &Alert, settings: &ConvertSettings, draft: &mut Draft) -> Vec<SeenFile> {
    let files = file::add_files(alert, draft);
    process::add_process(alert, settings, draft);
    process::add_other_users(alert, settings, draft);
    network::add_network(alert, settings.network_traffic, draft);
    registry::add_registry(alert, draft);
    files
}

/// Relates the incident to what it is about.
fn relate(
    root_id: &str,
    system_id: Option<&str>,
    technique_ids: &[String],
    since: Timestamp,
    draft: &mut Draft,
) {
    if let Some(system_id) = system_id {
        draft.relate_since(since, "targets", root_id, system_id, None);
    }
    for technique_id in technique_ids {
        draft.relate_since(since, "uses", root_id, technique_id, None);
    }
    for (observable_id, text) in draft.take_related() {
        draft.relate_since(since, "related-to", &observable_id, root_id, Some(text));
    }
}

fn sighted_at(alert: &Alert, indicator_id: &str, place_id: &str, moments: Moments) -> Sighted {
    Sighted {
        indicator_id: indicator_id.to_owned(),
        place_id: place_id.to_owned(),
        first_seen: moments.sighted.0,
        // For ever: the date is part of the sighting's id, and triage moves the other ones.
        last_seen: moments.sighted.0,
        is_false_positive: alert.status.as_deref() == Some("false_positive"),
    }
}

/// Adds what the indicators of an incident indicate and the sightings: of the `main` indicator, which is that
/// of the rule, and of the `further` ones.
fn add_sightings(
    main: Option<&Sighted>,
    further: &[Sighted],
    root_id: &str,
    moments: Moments,
    links: &[ExternalReference],
    known: &Known,
    draft: &mut Draft,
) {
    let further = further.iter().map(|it| (it, false));
    for (it, is_main) in main.into_iter().map(|it| (it, true)).chain(further) {
        draft.relate_since(moments.created, "indicates", &it.indicator_id, root_id, None);
        // The journal keeps one sighting an alert: of the further ones it cannot tell what others say.
        if is_main || !it.is_false_positive {
            draft.object(&sighting(it, moments, links.to_vec(), known));
        }
    }
}

/// The sighting of the rule's indicator. It is negative only while every alert that the platform
/// merges in it is a false positive.
fn sighting(
    sighted: &Sighted,
    moments: Moments,
    external_references: Vec<ExternalReference>,
    known: &Known,
) -> Sighting {
    let is_negative =
        sighted.is_false_positive && known.merged_sightings == MergedSightings::Harmless;
    Sighting {
        sighting_of_ref: sighted.indicator_id.clone(),
        where_sighted_refs: [sighted.place_id.clone()],
        count: 1,
        first_seen: moments.sighted,
        last_seen: Timestamp(sighted.last_seen),
        created: moments.created,
        modified: moments.modified,
        x_opencti_negative: is_negative,
        external_references,
    }
}

/// The platform's four severities; it knows no informational one.
pub(super) fn severity(level: Option<&str>) -> Option<&'static str> {
    match level?.trim().to_lowercase().as_str() {
        "informational" | "low" => Some("low"),
        "medium" => Some("medium"),
        "high" => Some("high"),
        "critical" => Some("critical"),
        _ => None,
    }
}

/// `ransom` and its relatives (`ransomguard`).
pub(super) fn is_ransomware(kind: &str) -> bool {
    kind.to_lowercase().starts_with("ransom")
}
