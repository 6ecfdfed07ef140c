//! The indicator of the rule that raised the alert, and the observables it matched.

use super::{
    ConvertSettings, dates,
    dates::Moments,
    draft::Draft,
    file::SeenFile,
    ioc, label,
    rule::{sigma_yaml, texts},
};
use crate::{
    alert::intelligence::{Intelligence, IocRule, SigmaRule, YaraFile},
    stix::{
        clean,
        object::{ExternalReference, Indicator, KillChainPhase, PatternType},
        time::Timestamp,
    },
};

/// A rule that has been read.
pub(super) struct ReadRule<'a> {
    rule: &'a Intelligence,
    /// Its indicator, not yet dated; else why the platform would refuse it.
    indicator: Result<Indicator, String>,
    /// The tags that the console tells and that the rule's own text holds.
    pub(super) tags: Vec<String>,
    /// The references that the console tells and that the rule's own text holds.
    pub(super) links: Vec<ExternalReference>,
}

/// The tags of a rule: those that the console tells and those that the rule's own text holds.
pub fn rule_tags(rule: &Intelligence) -> Vec<String> {
    read(rule).tags
}

/// Reads a rule.
pub(super) fn read(rule: &Intelligence) -> ReadRule<'_> {
    let (indicator, tags) = match rule {
        Intelligence::Ioc(ioc) => (from_ioc(ioc), Vec::new()),
        Intelligence::Sigma(sigma) => from_sigma(sigma),
        Intelligence::Yara(yara) => (from_yara(yara), yara.technique_tags.clone()),
    };
    let links = indicator.as_ref().map(|it| it.external_references.clone()).unwrap_or_default();
    ReadRule { rule, indicator, tags, links }
}

/// Adds the indicator of a rule and the observables it matched; answers its id, `None` when the
/// platform would refuse its pattern.
pub(super) fn add_indicator(
    read: ReadRule<'_>,
    phases: Vec<KillChainPhase>,
    files: &[SeenFile],
    moments: Moments,
    settings: &ConvertSettings,
    draft: &mut Draft,
) -> Option<String> {
    let rule = read.rule;
    let mut indicator = match read.indicator {
        Ok(indicator) => indicator,
        Err(why) => {
            draft.leave_out("indicator", why);
            return None;
        }
    };
    let (created, modified) = rule_dates(rule);
    let created = dates::usable(created, draft).map_or(moments.created, Timestamp);
    let modified = dates::usable(modified, draft).map_or(created, Timestamp).max(created);
    (indicator.created, indicator.modified, indicator.valid_from) = (created, modified, created);
    indicator.kill_chain_phases = phases;
    indicator.x_opencti_score = settings.score;
    let id = draft.object(&indicator);
    let matched_ids = match rule {
        Intelligence::Ioc(ioc) => ioc::add_matched(ioc, files, settings.score, draft),
        Intelligence::Yara(_) => ioc::add_scored(scanned(files), settings.score, draft),
        // What a Sigma rule matched is an event; its process is context.
        Intelligence::Sigma(_) => Vec::new(),
    };
    for observable_id in &matched_ids {
        draft.relate("based-on", &id, observable_id, None);
    }
    Some(id)
}

/// The file a YARA rule matched: the detected one, else the image of the process.
fn scanned(files: &[SeenFile]) -> Vec<crate::stix::object::File> {
    let with_role = |role: &str| {
        let found = files.iter().find(|file| file.roles.contains(&role));
        found.map(|file| file.object.clone())
    };
    ["detected", "scanned", "image"].into_iter().find_map(with_role).into_iter().collect()
}

fn blank(name: &str, pattern: String, pattern_type: PatternType) -> Indicator {
    let since = Timestamp(crate::stix::object::SHARED_SINCE);
    let name = clean::line(name);
    Indicator {
        // The platform takes no name of one letter; the pattern says what it is, too.
        name: if name.chars().count() < 2 { pattern.chars().take(250).collect() } else { name },
        description: None,
        indicator_types: vec!["malicious-activity"],
        pattern,
        pattern_type,
        created: since,
        modified: since,
        valid_from: since,
        kill_chain_phases: Vec::new(),
        x_opencti_score: None,
        x_opencti_detection: true,
        x_opencti_main_observable_type: None,
        external_references: Vec::new(),
    }
}

fn from_ioc(rule: &IocRule) -> Result<Indicator, String> {
    let made = ioc::pattern(rule)?;
    let description = rule.description.as_deref().map(clean::text);
    Ok(Indicator {
        description: description.filter(|text| !text.is_empty()),
        x_opencti_main_observable_type: Some(made.main_observable_type),
        ..blank(&rule.value, made.pattern.to_string(), PatternType::Stix)
    })
}

fn from_sigma(rule: &SigmaRule) -> (Result<Indicator, String>, Vec<String>) {
    let content = clean::text(&rule.content);
    let mut tags = rule.technique_tags.clone();
    let Some(yaml) = sigma_yaml(&content) else {
        let name = &rule.name;
        let why = format!("the content of {name} is no Sigma rule with logsource and detection");
        return (Err(why), tags);
    };
    tags.extend(texts(&yaml, "tags"));
    let description = yaml.get("description").and_then(|text| text.as_str()).map(clean::text);
    let references = [rule.references.clone(), texts(&yaml, "references")].concat();
    let indicator = Indicator {
        description: description.filter(|text| !text.is_empty()),
        external_references: label::links(&references),
        ..blank(&rule.name, content, PatternType::Sigma)
    };
    (Ok(indicator), tags)
}

fn from_yara(file: &YaraFile) -> Result<Indicator, String> {
    let content = clean::text(&file.content);
    let has_rule = content.contains("rule") && content.contains("condition");
    if !has_rule {
        return Err(format!("the content of {} holds no YARA rule", file.name));
    }
    Ok(Indicator {
        x_opencti_main_observable_type: Some("StixFile"),
        ..blank(&file.name, content, PatternType::Yara)
    })
}

type RuleDate = Option<chrono::DateTime<chrono::Utc>>;

fn rule_dates(rule: &Intelligence) -> (RuleDate, RuleDate) {
    match rule {
        Intelligence::Ioc(rule) => (rule.created, rule.modified),
        Intelligence::Sigma(rule) => (rule.created, rule.modified),
        Intelligence::Yara(file) => (file.created, file.modified),
    }
}
