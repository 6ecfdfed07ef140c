//! Finds Sigma rules that OpenCTI's checker, pySigma, surely refuses. A rule that is refused here for nothing
//! is lost, one that passes for nothing costs a few errors before it is left out: so whatever may pass does.
//! YAML is read by 1.2 here and by 1.1 there, where other plain texts are numbers, flags or dates.
//!
//! Does not live here: which texts are Sigma rules at all (`sigma`).

use std::net::IpAddr;

use chrono::NaiveDate;
use serde_json::{Map, Value};

const STATUSES: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];
const LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];
const RELATIONS: [&str; 6] = ["correlation", "derived", "merged", "obsolete", "renamed", "similar"];
const LISTS: [&str; 4] = ["fields", "falsepositives", "references", "scope"];
const TEXTS: [&str; 5] = ["author", "description", "license", "name", "taxonomy"];
const TITLE_MAX_CHARS: usize = 256;
/// Every modifier of any version.
const MODIFIERS: [&str; 33] = [
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "dotall",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "ignorecase",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "multiline",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "week",
    "wide",
    "windash",
    "year",
];
/// Modifiers that take texts only.
const OF_TEXTS: [&str; 12] = [
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "endswith",
    "fieldref",
    "startswith",
    "utf16",
    "utf16be",
    "wide",
    "windash",
];
/// Modifiers that take numbers only.
const OF_NUMBERS: [&str; 4] = ["gt", "gte", "lt", "lte"];
/// Modifiers of what another one made a regular expression.
const OF_EXPRESSIONS: [&str; 6] = ["dotall", "i", "ignorecase", "m", "multiline", "s"];
/// Texts that YAML 1.1 reads as a flag, in lower case.
const FLAGS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];

type Fault = Result<(), String>;

/// Returns why the checker refuses a rule that has a `logsource` and a `detection`; `Ok`: it may pass.
pub(super) fn check(rule: &Value) -> Fault {
    let value = |key: &str| rule.get(key).filter(|value| !value.is_null());
    title(value("title"))?;
    value("id").map_or(Ok(()), |id| uuid("id", id))?;
    value("status").map_or(Ok(()), |status| one_of("status", status, &STATUSES))?;
    value("level").map_or(Ok(()), |level| one_of("level", level, &LEVELS))?;
    for key in ["date", "modified"] {
        value(key).map_or(Ok(()), |date| day(key, date))?;
    }
    value("tags").map_or(Ok(()), tags)?;
    value("related").map_or(Ok(()), related)?;
    for (key, list) in LISTS.iter().filter_map(|key| Some((key, value(key)?))) {
        if !list.is_array() {
            return Err(format!("{key} is no list"));
        }
    }
    for (key, text) in TEXTS.iter().filter_map(|key| Some((key, value(key)?))) {
        if is_no_text(text) {
            return Err(format!("{key} is no text"));
        }
        if text == "" && ["name", "taxonomy"].contains(key) {
            return Err(format!("{key} is empty"));
        }
    }
    value("logsource").and_then(Value::as_object).map_or(Ok(()), logsource)?;
    value("detection").and_then(Value::as_object).map_or(Ok(()), detection)
}

/// Returns whether a value is a text in no version of YAML. A number may be one.
fn is_no_text(value: &Value) -> bool {
    value.is_array() || value.is_object() || value.is_boolean()
}

fn title(title: Option<&Value>) -> Fault {
    match title {
        None => Err("it has no title".to_owned()),
        Some(title) if is_no_text(title) => Err("title is no text".to_owned()),
        Some(title) if title.as_str().is_some_and(|it| it.chars().count() > TITLE_MAX_CHARS) => {
            Err(format!("title is longer than {TITLE_MAX_CHARS} characters"))
        }
        Some(_) => Ok(()),
    }
}

/// Python takes a UUID in braces, as a URN, and with its hyphens anywhere.
fn uuid(key: &str, id: &Value) -> Fault {
    let Some(text) = id.as_str() else { return Err(format!("{key} is no UUID")) };
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let digits = bare.trim_matches(['{', '}']).replace('-', "");
    // What Python's numbers may hold beside their digits.
    let may_be_digit =
        |it: char| it.is_ascii_hexdigit() || !it.is_ascii() || "_+xX \t".contains(it);
    if digits.chars().count() == 32 && digits.chars().all(may_be_digit) {
        return Ok(());
    }
    Err(format!("{key} {text} is no UUID"))
}

fn one_of(key: &str, value: &Value, known: &[&str]) -> Fault {
    let text = value.as_str().unwrap_or_default();
    // Python's upper case of other letters may be one of these.
    let is_known = !text.is_ascii() || known.iter().any(|it| it.eq_ignore_ascii_case(text));
    if is_known { Ok(()) } else { Err(format!("{key} {value} is unknown")) }
}

/// A date with hyphens, which may be one with a time where it has no quotes; or one with slashes.
fn day(key: &str, date: &Value) -> Fault {
    let refused = || Err(format!("{key} {date} is no date like 2026-01-31"));
    let Some(text) = date.as_str() else { return refused() };
    let end = text.find(|it: char| !(it.is_ascii_digit() || "-/".contains(it)));
    let (day, time) = text.split_at(end.unwrap_or(text.len()));
    let separator = if day.contains('/') { '/' } else { '-' };
    let parts: Vec<&str> = day.split(separator).collect();
    let [year, month, day] = parts[..] else { return refused() };
    let lengths = (year.len(), month.len(), day.len());
    let is_written = match (separator, time) {
        ('/', "") => {
            ('1'..='3').any(|it| year.starts_with(it))
                && (1..=2).contains(&lengths.1)
                && (1..=2).contains(&lengths.2)
        }
        ('-', "") => lengths == (4, 2, 2),
        ('-', time) => time.starts_with(['T', 't', ' ', '\t']),
        _ => false,
    };
    let number = |text: &str| text.parse::<u32>().ok();
    let exists = || {
        let year = year.parse::<i32>().ok()?;
        NaiveDate::from_ymd_opt(year, number(month)?, number(day)?).filter(|_| year > 0)
    };
    if is_written && lengths.0 == 4 && exists().is_some() { Ok(()) } else { refused() }
}

fn tags(tags: &Value) -> Fault {
    let Some(tags) = tags.as_array() else { return Err("tags is no list".to_owned()) };
    let has_namespace = |tag: &&Value| {
        // YAML 1.1 takes fewer texts for fractions.
        tag.is_f64() || tag.as_str().is_some_and(|tag| tag.contains('.'))
    };
    match tags.iter().find(|tag| !has_namespace(tag)) {
        Some(tag) => Err(format!("the tag {tag} has no namespace")),
        None => Ok(()),
    }
}

fn related(related: &Value) -> Fault {
    let Some(items) = related.as_array() else { return Err("related is no list".to_owned()) };
    for item in items {
        let Some(id) = item.get("id") else {
            return Err("related has an item without id".to_owned());
        };
        uuid("related", id)?;
        let Some(kind) = item.get("type") else {
            return Err("related has an item without type".to_owned());
        };
        one_of("the type of related", kind, &RELATIONS)?;
    }
    Ok(())
}

fn logsource(logsource: &Map<String, Value>) -> Fault {
    const NAMES: [&str; 3] = ["category", "product", "service"];
    let value = |key: &str| logsource.get(key).filter(|value| !value.is_null());
    if NAMES.iter().all(|key| value(key).is_none()) {
        return Err("logsource has no category, product or service".to_owned());
    }
    let is_empty = |value: &Value| {
        *value == Value::Bool(false)
            || *value == serde_json::json!([])
            || *value == serde_json::json!({})
    };
    for key in NAMES.iter().chain(&["definition"]) {
        if value(key).is_some_and(|value| is_no_text(value) && !is_empty(value)) {
            return Err(format!("{key} of logsource is no text"));
        }
    }
    Ok(())
}

fn detection(detection: &Map<String, Value>) -> Fault {
    if detection.get("condition").is_some_and(|condition| *condition == serde_json::json!([])) {
        return Err("detection has no condition".to_owned());
    }
    let searches = detection.iter().filter(|(name, _)| *name != "condition");
    if searches.clone().next().is_none() {
        return Err("detection has nothing but its condition".to_owned());
    }
    for (name, definition) in searches {
        search(definition).map_err(|why| format!("{name} of detection: {why}"))?;
    }
    Ok(())
}

fn search(definition: &Value) -> Fault {
    match definition {
        Value::Object(fields) if fields.is_empty() => Err("it is empty".to_owned()),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| field(key, value)),
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
            items.iter().try_for_each(search)
        }
        _ => Ok(()),
    }
}

/// A field with its modifiers, and a value or several.
fn field(key: &str, value: &Value) -> Fault {
    let mut modifiers = key.split('|').skip(1);
    if let Some(unknown) = modifiers.clone().find(|it| !MODIFIERS.contains(it)) {
        return Err(format!("the modifier {unknown} of {key} is unknown"));
    }
    let first = modifiers.next();
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    for value in values {
        if value.is_array() || value.is_object() {
            return Err(format!("{key} has a list or map as value"));
        }
        if first.is_some_and(|modifier| is_unfit(modifier, value)) {
            return Err(format!("{key} does not take {value}"));
        }
    }
    Ok(())
}

/// Returns whether the first modifier of a field takes no value like this one.
fn is_unfit(modifier: &str, value: &Value) -> bool {
    if OF_EXPRESSIONS.contains(&modifier) {
        return true;
    }
    let Some(text) = value.as_str() else {
        // A flag or null: a number may be a text.
        let is_none = !value.is_number();
        return is_none && (OF_TEXTS.contains(&modifier) || OF_NUMBERS.contains(&modifier));
    };
    let begins_with_letter = text.starts_with(|it: char| it.is_ascii_alphabetic());
    match modifier {
        "exists" => begins_with_letter && !FLAGS.contains(&text.to_ascii_lowercase().as_str()),
        "base64" | "base64offset" => text.contains(['*', '?']) && !text.contains('\\'),
        "cidr" => has_host_bits(text),
        modifier => OF_NUMBERS.contains(&modifier) && begins_with_letter,
    }
}

/// Returns whether a network is written as one of its addresses.
fn has_host_bits(network: &str) -> bool {
    let bits = || {
        let (address, length) = network.split_once('/')?;
        let length: u32 = length.parse().ok()?;
        let (bits, width) = match address.parse().ok()? {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let host = u128::MAX.checked_shr(128 - width.checked_sub(length)?).unwrap_or_default();
        Some(bits & host)
    };
    bits().is_some_and(|bits| bits != 0)
}
