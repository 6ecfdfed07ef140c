//! `convert`: one alert or threat in, one bundle out, offline.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use url::Url;

use super::{
    arguments::ConvertArguments,
    failure::Failure,
    output::{self, line_of},
    setup, summary,
};
use crate::{
    alert::element::{self, MaxValues},
    clock::Clock,
    config::{ConversionSettings, IncidentNaming},
    convert::{
        Conversion, ConvertSettings, Known, NetworkTraffic, RuleChecker, WOULD_REFUSE, Wanted,
        attach_raw, carried_intelligence, convert_alert, convert_threat, gate, wanted_intelligence,
    },
    intake::{
        decode,
        dialect::{Dialect, Recognised, UnknownKind, read_alert, read_threat, recognise_unknown},
        envelope,
    },
};

/// Longest input that is read, in bytes.
const INPUT_MAX_BYTES: u64 = 64 << 20;

/// The address that links lead to while nobody has said where the console is.
const PLACEHOLDER_CONSOLE: &str = "https://harfanglab.invalid";

/// Says that the service may send a rule that was left out here.
const NEWEST: &str = "Rules are checked here as OpenCTI does since 7.2606. The service goes by the \
                      version of its OpenCTI: an older one is sent every text that is a rule.";

/// Converts standard input or a file.
pub(super) fn run(config: Option<&Path>, arguments: &ConvertArguments) -> Result<(), Failure> {
    let settings = convert_settings(setup::load_for_conversion(config)?);
    let input = read_input(arguments.file.as_deref())?;
    let text = decode::text_of(&input);
    let read = element::check(&text)
        .and_then(|()| envelope::read(text.as_ref().into(), MaxValues::LARGEST))
        .context("the input is not one JSON value that can be read; give one alert or threat")?;
    let known = Known::received(Clock::system().now());
    let conversion = convert(&read, &known, &settings)?;
    let mut told = String::new();
    if arguments.summary {
        told.push_str(&summary::tree(&conversion.bundle, &conversion.root_id));
    }
    if arguments.explain {
        told.push_str(&explanation(&conversion, about_rule(&read, &conversion).as_deref()));
    }
    if !told.is_empty() {
        return output::print(&told);
    }
    for left_out in &conversion.left_out {
        output::say(&format!("left out: {}: {}", line_of(left_out.what), line_of(&left_out.why)));
    }
    let bundle = serde_json::to_value(&conversion.bundle).context("the bundle is not JSON")?;
    let text = if arguments.pretty { format!("{bundle:#}\n") } else { format!("{bundle}\n") };
    output::print(&text)
}

fn convert(
    read: &envelope::Read<'_>,
    known: &Known,
    settings: &ConvertSettings,
) -> anyhow::Result<Conversion> {
    match &read.recognised {
        Recognised::Notification(Dialect::NativeThreat) => {
            Ok(convert_threat(&read_threat(&read.value), &[], known, settings))
        }
        Recognised::Notification(dialect) => {
            let alert = read_alert(*dialect, &read.value);
            let carried = carried_intelligence(&alert);
            let conversion = convert_alert(&alert, carried.as_ref(), known, settings);
            Ok(attach_raw(conversion, &read.text, settings))
        }
        Recognised::Telemetry(kind) => Err(telemetry(kind)),
        Recognised::ConnectionTest => bail!("this is HarfangLab's connection test: nothing in it"),
        Recognised::Unknown => {
            if let Some(doubt) = read.doubt {
                bail!("this cannot be imported: {doubt}");
            }
            if let UnknownKind::Telemetry(kind) = recognise_unknown(&read.text) {
                return Err(telemetry(kind));
            }
            bail!("this is neither an alert nor a threat in any form that HarfangLab is known for")
        }
    }
}

fn telemetry(kind: &str) -> anyhow::Error {
    anyhow!("this is telemetry ({kind}), which the service counts and does not import")
}

/// Tells of the rule, of what was left out, and of what the gate finds.
fn explanation(conversion: &Conversion, about_rule: Option<&str>) -> String {
    let mut lines = Vec::new();
    lines.extend(about_rule.map(line_of));
    if conversion.left_out.is_empty() {
        lines.push("Nothing was left out.".to_owned());
    }
    for left_out in &conversion.left_out {
        lines.push(format!("Left out: {}: {}.", line_of(left_out.what), line_of(&left_out.why)));
    }
    if conversion.left_out.iter().any(|left_out| left_out.why.starts_with(WOULD_REFUSE)) {
        lines.push(NEWEST.to_owned());
    }
    let violations = gate::violations(&conversion.bundle);
    if violations.is_empty() {
        lines.push("The bundle holds nothing that OpenCTI is known to refuse.".to_owned());
    }
    for violation in violations {
        lines.push(format!("OpenCTI would refuse: {violation}; please report this as a defect."));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Says why there is no indicator, or what the console adds to it; for a threat, what only the running
/// service knows. A rule that the alert carries and that makes no indicator is among what was left out.
fn about_rule(read: &envelope::Read<'_>, conversion: &Conversion) -> Option<String> {
    let alert = match &read.recognised {
        Recognised::Notification(Dialect::NativeThreat) => return Some(about_threat(&read.value)),
        Recognised::Notification(dialect) => read_alert(*dialect, &read.value),
        _ => return None,
    };
    let has_indicator = conversion.indicator.is_some();
    let Some(wanted) = wanted_intelligence(&alert) else {
        let is_told = has_indicator || conversion.left_out.iter().any(|it| it.what == "indicator");
        let words = "No indicator and no sighting: the alert names no IOC, Sigma, YARA or \
                     correlation rule.";
        return (!is_told).then(|| words.to_owned());
    };
    let rule = match wanted {
        Wanted::Ioc { value, .. } => format!("the IOC {value}"),
        Wanted::Sigma { rule_id, rule_name } => {
            format!("the Sigma rule {}", rule_name.or(rule_id).unwrap_or_default())
        }
        Wanted::Correlation { rule_id, rule_name } => {
            format!("the correlation rule {}", rule_name.or(rule_id).unwrap_or_default())
        }
        Wanted::Yara { candidates } => {
            format!("the YARA file that is named or has a rule named {}", candidates.join(" or "))
        }
    };
    if has_indicator {
        Some(format!(
            "The indicator is made from what the alert says. The running service takes its \
             dates from the console. It asks the console for {rule}."
        ))
    } else if carried_intelligence(&alert).is_none() {
        Some(format!(
            "No indicator and no sighting: the alert does not carry its rule. The running service \
             adds both if the console has it. It asks the console for {rule}."
        ))
    } else {
        None
    }
}

/// Names what only the running service knows of a threat.
fn about_threat(element: &Value) -> String {
    let threat = read_threat(element);
    let rules = match threat.rules.iter().filter(|rule| rule.tags.is_empty()).count() {
        0 => String::new(),
        1 => "the techniques of its rule, ".to_owned(),
        number => format!("the techniques of {number} rules, "),
    };
    format!(
        "The running service adds to the case what its delivered alerts show, {rules}and the name and \
         note of a threat that was pushed without them: it asks the console for them."
    )
}

fn convert_settings(loaded: ConversionSettings) -> ConvertSettings {
    ConvertSettings {
        author: loaded.author,
        marking: loaded.import.marking,
        score: loaded.import.score,
        incident_score: loaded.import.score,
        custom_properties: loaded.import.custom_properties,
        naming: loaded.import.naming.unwrap_or(IncidentNaming::Title),
        accounts: loaded.import.accounts,
        raw: loaded.import.raw,
        network_traffic: NetworkTraffic::Sent,
        rule_checker: RuleChecker::Strict,
        // By id: names of statuses only OpenCTI could resolve.
        workflow: loaded
            .import
            .workflow
            .into_iter()
            .filter(|(_, id)| uuid::Uuid::parse_str(id).is_ok())
            .collect(),
        console_url: loaded.console_url.unwrap_or_else(|| {
            Url::parse(PLACEHOLDER_CONSOLE).expect("it is a constant that parses")
        }),
    }
}

fn read_input(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut input = Vec::new();
    let mut limited: Box<dyn Read> = match file {
        Some(path) => {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            Box::new(file.take(INPUT_MAX_BYTES + 1))
        }
        None => Box::new(io::stdin().lock().take(INPUT_MAX_BYTES + 1)),
    };
    limited.read_to_end(&mut input).context("cannot read the input")?;
    if input.len() as u64 > INPUT_MAX_BYTES {
        bail!("the input is longer than {INPUT_MAX_BYTES} bytes");
    }
    Ok(input)
}
