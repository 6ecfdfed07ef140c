//! Labels and links of an alert.

use url::Url;

use super::attack;
use crate::{
    alert::Alert,
    stix::{clean, object::ExternalReference, valid},
};

/// The alert's type and those rule tags, of the alert and of the rule itself, that are neither of
/// ATT&CK nor internal ones of HarfangLab's rules (`classification.…`).
pub(super) fn labels(alert: &Alert, rule_tags: &[String]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in [&alert.alert_type].into_iter().chain(&alert.tags).chain(rule_tags) {
        let label = clean::line(label).to_lowercase();
        let is_internal = attack::is_of_attack(&label) || label.starts_with("classification.");
        if !label.is_empty() && !is_internal && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

/// The console's page of the alert, when its document id is known, and the rule's references, as
/// the alert and as the rule itself tell them.
pub(super) fn alert_links(
    alert: &Alert,
    rule_links: &[ExternalReference],
    console_url: &Url,
) -> Vec<ExternalReference> {
    let page = alert.api_id.as_deref().map(clean::line).filter(|id| !id.is_empty());
    let page = page.and_then(|id| console_page(console_url, "security-event", &id));
    let mut links: Vec<ExternalReference> = page.into_iter().collect();
    for link in self::links(&alert.references).into_iter().chain(rule_links.iter().cloned()) {
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

/// `<console>/<section>/<id>/summary`.
pub(super) fn console_page(
    console_url: &Url,
    section: &str,
    id: &str,
) -> Option<ExternalReference> {
    let mut url = console_url.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend([section, id, "summary"]);
    let source_name = "HarfangLab".to_owned();
    Some(ExternalReference { source_name, url: url.into(), external_id: Some(id.to_owned()) })
}

/// References that are URLs, each once, named after their host.
pub(super) fn links(references: &[String]) -> Vec<ExternalReference> {
    let mut links: Vec<ExternalReference> = Vec::new();
    for reference in references {
        let Some((url, parsed)) = valid::url(&clean::line(reference)) else {
            continue;
        };
        let host = parsed.host_str().filter(|host| host.len() >= 2).unwrap_or("reference");
        let link = ExternalReference { source_name: host.to_owned(), url, external_id: None };
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}
