//! The indicator of the rule that raised the alert, and the observables it matched.
//!
//! An indicator goes out with every alert of its rule, so it must not differ between them. What a
//! Sigma rule's own text says is taken from there, whether the alert carried the text or the console
//! told it; of other rules it is what the console tells. Only from when on it is valid is the alerts' own:
//! the journal keeps it the same for all of a time.

use chrono::TimeDelta;

use super::{
    ConvertSettings, RuleChecker,
    attack::Named,
    dates,
    dates::Moments,
    draft::Draft,
    file::SeenFile,
    ioc::{self, IocValue},
    label, naming,
    sigma::SigmaText,
    yara_check,
};
use crate::{
    alert::{
        Alert, SeenIndicator,
        intelligence::{Intelligence, IocRule, SigmaRule, YaraFile},
    },
    stix::{
        clean,
        object::{ExternalReference, Indicator, PatternType},
        time::Timestamp,
    },
};

/// Least time after the date from which an indicator is valid for an alert to move that date forward, well
/// before OpenCTI revokes it.
const MOVES_AFTER: TimeDelta = SeenIndicator::MOVES_AFTER_MAX;
/// The same of addresses and URLs, which it revokes early.
const MOVES_SOON_AFTER: TimeDelta = TimeDelta::days(15);

/// Beginning of the reason for which a rule is left out that the checker of newer platforms refuses.
pub const WOULD_REFUSE: &str = "OpenCTI would refuse the rule";

type RuleDate = Option<chrono::DateTime<chrono::Utc>>;

/// Facts of an alert that its indicators need.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) alert: &'a Alert,
    pub(super) named: &'a Named,
    pub(super) files: &'a [SeenFile],
    pub(super) moments: Moments,
    pub(super) settings: &'a ConvertSettings,
}

/// A rule that has been read.
pub(super) struct ReadRule<'a> {
    rule: &'a Intelligence,
    /// The value of an IOC that can be read.
    value: Option<IocValue>,
    /// Its indicator, not yet dated; else why the platform would refuse it.
    indicator: Result<Indicator, String>,
    /// Dates on which the rule was made and changed.
    dates: (RuleDate, RuleDate),
    /// The tags that make the kill-chain phases of the indicator; none when the rule has no tags.
    own_tags: Vec<String>,
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
    match rule {
        Intelligence::Ioc(ioc) => {
            let value = IocValue::read(ioc);
            ReadRule {
                rule,
                indicator: value.as_ref().map(|value| of_ioc(ioc, value)).map_err(Clone::clone),
                value: value.ok(),
                dates: (ioc.created, ioc.modified),
                own_tags: Vec::new(),
                tags: Vec::new(),
                links: Vec::new(),
            }
        }
        Intelligence::Sigma(sigma) => read_sigma(rule, sigma),
        Intelligence::Yara(yara) => ReadRule {
            rule,
            value: None,
            indicator: from_yara(yara),
            dates: (yara.created, yara.modified),
            own_tags: yara.technique_tags.clone(),
            tags: yara.technique_tags.clone(),
            links: Vec::new(),
        },
    }
}

/// Adds the indicator of a rule and the observables it matched; answers how it was seen, `None` when the
/// platform would refuse its pattern.
pub(super) fn add_indicator(
    read: ReadRule<'_>,
    basis: Basis<'_>,
    draft: &mut Draft,
) -> Option<SeenIndicator> {
    let Basis { alert, named, files, moments, settings } = basis;
    let (rule, value) = (read.rule, read.value);
    let checked = |indicator: Indicator| match settings.rule_checker {
        RuleChecker::Strict => refusal(rule, &indicator).map_or(Ok(indicator), Err),
        RuleChecker::Lenient => Ok(indicator),
    };
    let mut indicator = match read.indicator.and_then(checked) {
        Ok(indicator) => indicator,
        Err(why) => {
            draft.leave_out("indicator", why);
            return None;
        }
    };
    let (created, modified) = read.dates;
    // A rule that nobody dates was made on the day of the alert.
    let created = dates::usable(created, draft).unwrap_or_else(|| dates::day(moments.created.0));
    let modified = dates::usable(modified, draft).unwrap_or(created).max(created);
    (indicator.created, indicator.modified) = (Timestamp(created), Timestamp(modified));
    indicator.valid_from = moments.proven;
    let by_rule = Named::by_tags(&read.own_tags).phases_of_rule();
    indicator.kill_chain_phases = if by_rule.is_empty() { named.phases() } else { by_rule };
    indicator.x_opencti_score = settings.score;
    let id = draft.object(&indicator);
    let matched_ids = match (rule, &value) {
        (_, Some(value)) => ioc::add_matched(value, alert, files, settings.score, draft),
        (Intelligence::Yara(_), _) => ioc::add_scored(scanned(files), settings.score, draft),
        // What a Sigma rule matched is an event; its process is context.
        _ => Vec::new(),
    };
    let matched = value.as_ref().map(IocValue::text).unwrap_or_default();
    for observable_id in &matched_ids {
        draft.relate("based-on", &id, observable_id, None);
        // Only where nothing else is known of it.
        draft.relate_to_incident(observable_id, "Matched by the rule", &matched);
    }
    let is_short_lived = value.is_some_and(|value| value.is_short_lived());
    let moves_after = if is_short_lived { MOVES_SOON_AFTER } else { MOVES_AFTER };
    Some(SeenIndicator { id, seen_at: moments.proven.0, moves_after })
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
    let is_name = naming::is_long_enough(&name);
    Indicator {
        // The pattern says what it is, too.
        name: if is_name { name } else { clean::line(&pattern).chars().take(250).collect() },
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

fn of_ioc(rule: &IocRule, value: &IocValue) -> Indicator {
    let (pattern, main_observable_type) = value.pattern();
    let description = rule.description.as_deref().map(clean::text);
    Indicator {
        description: description.filter(|text| !text.is_empty()),
        x_opencti_main_observable_type: Some(main_observable_type),
        ..blank(&value.name(), pattern.to_string(), PatternType::Stix)
    }
}

fn read_sigma<'a>(rule: &'a Intelligence, sigma: &SigmaRule) -> ReadRule<'a> {
    let Some(text) = SigmaText::read(&sigma.content) else {
        let name = &sigma.name;
        let why = format!(
            "the rule {name} is no Sigma rule with logsource and detection; the incident is sent \
             without indicator and sighting"
        );
        return ReadRule {
            rule,
            value: None,
            indicator: Err(why),
            dates: (None, None),
            own_tags: Vec::new(),
            tags: sigma.technique_tags.clone(),
            links: label::links(&sigma.references),
        };
    };
    let title = text.title.as_deref().filter(|title| naming::is_long_enough(title));
    let indicator = Indicator {
        description: text.description.clone(),
        external_references: label::links(&text.references),
        ..blank(title.unwrap_or(&sigma.name), text.content.clone(), PatternType::Sigma)
    };
    let dates = match text.created {
        Some(created) => (Some(created), text.modified),
        None => (sigma.created, sigma.modified),
    };
    ReadRule {
        rule,
        value: None,
        indicator: Ok(indicator),
        dates,
        tags: [sigma.technique_tags.as_slice(), &text.tags].concat(),
        own_tags: text.tags.clone(),
        links: label::links(&[sigma.references.as_slice(), &text.references].concat()),
    }
}

/// Returns why the checker of newer platforms surely refuses the text of a rule, which is the pattern of its
/// `indicator`.
fn refusal(rule: &Intelligence, indicator: &Indicator) -> Option<String> {
    let (name, why) = match rule {
        Intelligence::Ioc(_) => return None,
        Intelligence::Sigma(sigma) => {
            (&sigma.name, SigmaText::read(&sigma.content)?.refusal.clone()?)
        }
        Intelligence::Yara(file) => (&file.name, yara_check::check(&indicator.pattern).err()?),
    };
    Some(format!(
        "{WOULD_REFUSE} {name}: {why}; correct the rule to get its indicator and sightings"
    ))
}

fn from_yara(file: &YaraFile) -> Result<Indicator, String> {
    let content = clean::text(&file.content);
    let has_rule = content.contains("rule") && content.contains("condition");
    if !has_rule {
        return Err(format!(
            "the file {} holds no YARA rule; the incident is sent without indicator and sighting",
            file.name
        ));
    }
    Ok(Indicator {
        x_opencti_main_observable_type: Some("StixFile"),
        ..blank(&file.name, content, PatternType::Yara)
    })
}
