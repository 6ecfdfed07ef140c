//! Finds the rule that raised an alert: what the alert itself carries, and what to ask the console for.

use super::{
    file::file_name,
    ioc::IocValue,
    message::{self, Announced},
    sigma::SigmaText,
};
use crate::{
    alert::{
        Alert,
        intelligence::{Intelligence, IocRule, SigmaRule},
    },
    stix::clean,
};

/// Question to the console, when the alert does not carry its rule, or not with its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The IOC rule of this type and value.
    Ioc {
        /// Type, as far as the alert tells it.
        kind: Option<String>,
        /// Value.
        value: String,
    },
    /// The Sigma rule of this id, else of this name.
    Sigma {
        /// `rule_id`.
        rule_id: Option<String>,
        /// `rule_name`.
        rule_name: Option<String>,
    },
    /// The correlation rule of this id, else of this name.
    Correlation {
        /// `rule_id`.
        rule_id: Option<String>,
        /// `rule_name`.
        rule_name: Option<String>,
    },
    /// The first YARA file that has one of these names, or contains a rule of one.
    Yara {
        /// Names, the likeliest first.
        candidates: Vec<String>,
    },
}

/// The rule as far as the alert itself carries it.
pub fn carried_intelligence(alert: &Alert) -> Option<Intelligence> {
    let is_by_ioc = !is_raised_by_other_rule(alert);
    let ioc = || is_by_ioc.then(|| matched_ioc(alert)).flatten().map(Intelligence::Ioc);
    let sigma = || carried_sigma(alert).map(Intelligence::Sigma);
    ioc().or_else(sigma)
}

/// Returns the rule as far as the alert itself carries or announces it.
pub(super) fn own_intelligence(alert: &Alert) -> Option<Intelligence> {
    carried_intelligence(alert).or_else(|| announced_ioc(alert).map(Intelligence::Ioc))
}

/// Joins what the alert says of its rule and what only the console tells: dates, description, port. So
/// an indicator is the same whatever alert of its rule is sent.
pub fn completed(carried: Intelligence, told: Intelligence) -> Intelligence {
    match (carried, told) {
        (Intelligence::Ioc(carried), Intelligence::Ioc(told)) => {
            Intelligence::Ioc(IocRule { kind: carried.kind, value: carried.value, ..told })
        }
        // The text that raised the alert, also when the console's has changed since.
        (Intelligence::Sigma(carried), Intelligence::Sigma(told)) => {
            Intelligence::Sigma(SigmaRule { content: carried.content, ..told })
        }
        (carried, _) => carried,
    }
}

/// Returns what to ask the console for; `None` when the alert carries all of its rule or names none. An IOC
/// that an alert carries has neither dates nor port, and not every Sigma rule says its date.
pub fn wanted_intelligence(alert: &Alert) -> Option<Wanted> {
    match carried_intelligence(alert) {
        // A line of HarfangLab's own list of drivers, which is no rule of the console.
        Some(Intelligence::Ioc(_)) if alert.ioc_matches.is_empty() => return None,
        Some(Intelligence::Ioc(IocRule { kind, value, .. })) => {
            return Some(Wanted::Ioc { kind: Some(kind), value });
        }
        Some(Intelligence::Sigma(rule)) if rule.created.is_some() => return None,
        _ => {}
    }
    match alert.alert_type.as_str() {
        "ioc" | "driver" => ioc_value(alert).map(|value| Wanted::Ioc { kind: None, value }),
        kind @ ("sigma" | "correlation") => {
            let rule_id = nonempty(alert.rule_id.as_deref());
            let rule_name = nonempty(alert.rule_name.as_deref());
            let known = rule_id.is_some() || rule_name.is_some();
            known.then_some(if kind == "sigma" {
                Wanted::Sigma { rule_id, rule_name }
            } else {
                Wanted::Correlation { rule_id, rule_name }
            })
        }
        "yara" => {
            let candidates = yara_candidates(alert);
            (!candidates.is_empty()).then_some(Wanted::Yara { candidates })
        }
        _ => None,
    }
}

/// The value of the IOC that raised the alert, as the alert tells it.
pub(super) fn ioc_value(alert: &Alert) -> Option<String> {
    let matched = alert.ioc_matches.iter().find_map(|found| nonempty(found.value.as_deref()));
    matched.or_else(|| Some(announced(alert)?.value))
}

/// Returns the IOC that the message of an alert announces.
fn announced(alert: &Alert) -> Option<Announced> {
    let driver = alert.driver.iter().flat_map(|it| [&it.path, &it.name]);
    let files = alert.files.iter().map(|it| &it.path).chain([&alert.detection_path]).chain(driver);
    let paths: Vec<&str> = files.filter_map(Option::as_deref).collect();
    let names = paths.iter().map(|path| file_name(path));
    let urls = alert.urls.iter().filter_map(|request| request.url.as_deref());
    let asked = alert.dns.iter().filter_map(|resolution| resolution.requested_name.as_deref());
    let values = alert.threat_values.iter().map(String::as_str);
    let told: Vec<&str> =
        paths.iter().copied().chain(names).chain(urls).chain(asked).chain(values).collect();
    message::announced(alert.message.as_deref()?, &told)
}

/// Returns the IOC that raised the alert where the alert carries none with its type and the console knows
/// none: its type follows from its field in the message, or from its value.
fn announced_ioc(alert: &Alert) -> Option<IocRule> {
    matched_iocs(alert, None).into_iter().find(|ioc| !ioc.kind.is_empty())
}

/// Returns the IOCs that raised an alert, those that carry their type first. The type of the others is that
/// of their field in the message, or the one that their value shows, else empty; of the value of `main` its
/// type is known.
pub(super) fn matched_iocs(alert: &Alert, main: Option<&IocRule>) -> Vec<IocRule> {
    if is_raised_by_other_rule(alert) {
        return Vec::new();
    }
    let is_by_message = matches!(alert.alert_type.as_str(), "ioc" | "driver");
    let announced = is_by_message.then(|| announced(alert)).flatten();
    let announced = announced.filter(|it| it.is_certain);
    let untyped = alert.ioc_matches.iter().filter(|it| nonempty(it.kind.as_deref()).is_none());
    let mut untyped: Vec<String> =
        untyped.filter_map(|found| nonempty(found.value.as_deref())).collect();
    if alert.ioc_matches.is_empty() {
        untyped.extend(announced.as_ref().map(|it| it.value.clone()));
    }
    let of_field = |value: &str| announced.as_ref().filter(|it| it.value == value)?.kind;
    untyped.retain(|value| main.is_none_or(|main| main.value != *value));
    let shown = untyped.into_iter().map(|value| {
        let kind = of_field(&value).or_else(|| IocValue::shown_kind(&value));
        ioc(kind.unwrap_or_default(), value)
    });
    typed_iocs(alert).chain(shown).collect()
}

/// Returns whether a rule of another kind raised the alert: an alert of Sigma or YARA may show IOC matches of
/// its process too.
fn is_raised_by_other_rule(alert: &Alert) -> bool {
    matches!(alert.alert_type.as_str(), "sigma" | "correlation" | "yara")
}

/// Returns the first matched IOC that can be read, of those that carry their type, else the first of them.
fn matched_ioc(alert: &Alert) -> Option<IocRule> {
    let readable = typed_iocs(alert).find(|ioc| IocValue::read(ioc).is_ok());
    let matched = readable.or_else(|| typed_iocs(alert).next());
    matched.or_else(|| listed_ioc(alert.rule_content.as_deref()?))
}

fn typed_iocs(alert: &Alert) -> impl Iterator<Item = IocRule> {
    alert.ioc_matches.iter().filter_map(|found| {
        let (kind, value) = (nonempty(found.kind.as_deref())?, nonempty(found.value.as_deref())?);
        Some(ioc(&kind.to_lowercase(), value))
    })
}

fn ioc(kind: &str, value: String) -> IocRule {
    IocRule { kind: kind.to_owned(), value, ..IocRule::default() }
}

/// Driver alerts carry the line of their block list as rule: `hash,<value>,<description>`.
fn listed_ioc(content: &str) -> Option<IocRule> {
    let mut fields = content.lines().next()?.splitn(3, ',');
    let kind = fields.next().filter(|&kind| kind == "hash")?.to_owned();
    let value = nonempty(fields.next())?;
    Some(IocRule { kind, value, description: nonempty(fields.next()), ..IocRule::default() })
}

/// Returns whether a Sigma alert carries a text as its rule that the platform would refuse.
pub(super) fn carries_unusable_sigma(alert: &Alert) -> bool {
    let content = alert.rule_content.as_deref().map(clean::text).unwrap_or_default();
    alert.alert_type == "sigma" && !content.is_empty() && carried_sigma(alert).is_none()
}

fn carried_sigma(alert: &Alert) -> Option<SigmaRule> {
    let text = SigmaText::read(alert.rule_content.as_deref()?)?;
    Some(SigmaRule {
        name: nonempty(alert.rule_name.as_deref()).or_else(|| text.title.clone())?,
        technique_tags: text.tags.clone(),
        references: text.references.clone(),
        created: text.created,
        modified: text.modified,
        content: text.content.clone(),
    })
}

/// Names a YARA file may be found by: files of the matched rules, the parts of `rule: file`, and
/// the rules themselves.
fn yara_candidates(alert: &Alert) -> Vec<String> {
    let rule_name = alert.rule_name.as_deref().filter(|name| *name != "YARA binary check");
    let files = alert.matched_rules.iter().map(|rule| rule.namespace.as_deref());
    let rules = alert.matched_rules.iter().map(|rule| rule.rule_name.as_deref());
    let parts = rule_name.into_iter().flat_map(|name| name.rsplit(": ")).map(Some);
    let mut candidates: Vec<String> = Vec::new();
    for name in files.chain(parts).chain([rule_name]).chain(rules).filter_map(nonempty) {
        if !candidates.contains(&name) {
            candidates.push(name);
        }
    }
    candidates
}

fn nonempty(text: Option<&str>) -> Option<String> {
    Some(clean::line(text?)).filter(|text| !text.is_empty())
}
