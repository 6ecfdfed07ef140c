//! Reading JSON values whose type varies: one console writes `"threat_key": 2912`, the next
//! `"2912"`, a third `null`. Each accessor takes what can be meant and answers `None` (or an empty
//! list) for the rest, so that one odd field never costs the others.
//!
//! Fields are named by dotted paths, and a path is found whether the sender nests
//! (`{"host": {"os": {"type": …}}}`) or flattens (`{"host.os": {"type": …}}`).
//!
//! Does not live here: dates (`alert::date`), which fields an alert has (`intake::dialect`).

use std::slice;

use chrono::{DateTime, Utc};
use serde_json::{Number, Value};

use super::date;

/// Texts that consoles write where they have nothing to say.
const PLACEHOLDERS: [&str; 4] = ["-", "n/a", "null", "(null)"];
/// Whole numbers up to here are exact in a JSON number with a decimal point.
const LARGEST_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// The value at the dotted `path`; `null` counts as absent.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    #[cfg(test)]
    asked::note(path);
    let object = value.as_object()?;
    if let Some(found) = object.get(path).filter(|found| !found.is_null()) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| at(object.get(&path[..dot])?, &path[dot + 1..]))
}

/// The object at `path`, when it is one and has fields.
pub fn object_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    at(value, path).filter(|found| found.as_object().is_some_and(|object| !object.is_empty()))
}

/// The items at `path`: those of an array, or the single value that stands for a list of one.
pub fn items_at<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    match at(value, path) {
        Some(Value::Array(items)) => items,
        Some(single) => slice::from_ref(single),
        None => &[],
    }
}

/// A text as written, from a string, a number or a boolean; empty and placeholder texts are `None`.
///
/// A list of one is taken for its item, as search engines return fields. NUL characters are
/// dropped: no store behind this service takes them.
pub fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.replace('\0', ""),
        Value::Number(number) => number_text(number),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(items) => match items.as_slice() {
            [single] if !single.is_array() => return self::text(single),
            _ => return None,
        },
        Value::Null | Value::Object(_) => return None,
    };
    let trimmed = text.trim();
    let nothing = trimmed.is_empty()
        || PLACEHOLDERS.iter().any(|placeholder| trimmed.eq_ignore_ascii_case(placeholder));
    (!nothing).then_some(text)
}

/// The text at `path`, as written.
pub fn text_at(value: &Value, path: &str) -> Option<String> {
    text(at(value, path)?)
}

/// The first of `paths` that holds a text.
pub fn first_text_at(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| text_at(value, path))
}

/// An identifier at `path`: trimmed, its case kept.
pub fn identifier_at(value: &Value, path: &str) -> Option<String> {
    text_at(value, path).map(|text| text.trim().to_owned())
}

/// Returns the first of `paths` that holds an identifier.
pub fn first_identifier_at(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| identifier_at(value, path))
}

/// A word of a fixed vocabulary at `path`: trimmed and in lower case.
pub fn word_at(value: &Value, path: &str) -> Option<String> {
    text_at(value, path).map(|text| text.trim().to_lowercase())
}

/// The texts at `path`: every item of a list that is one, or a single text.
pub fn texts_at(value: &Value, path: &str) -> Vec<String> {
    items_at(value, path).iter().filter_map(text).collect()
}

/// A whole number at `path`, from a number, a decimal without fraction or a numeric text;
/// `None` beyond 64 signed bits.
pub fn integer_at(value: &Value, path: &str) -> Option<i64> {
    text_at(value, path)?.trim().parse().ok()
}

/// As [`integer_at`], for sizes and addresses: zero to 64 unsigned bits.
pub fn unsigned_at(value: &Value, path: &str) -> Option<u64> {
    text_at(value, path)?.trim().parse().ok()
}

/// A truth at `path`, from a boolean or from how it is written as a text or number.
pub fn truth_at(value: &Value, path: &str) -> Option<bool> {
    match word_at(value, path)?.as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Content of a date field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateField {
    /// Nothing, or a placeholder.
    Absent,
    /// A date.
    Date(DateTime<Utc>),
    /// Something that is no date, as written.
    Unreadable(String),
}

/// The date at `path`.
pub fn date_at(value: &Value, path: &str) -> DateField {
    let Some(found) = at(value, path) else {
        return DateField::Absent;
    };
    match text(found) {
        Some(text) => date::parse(&text).map_or(DateField::Unreadable(text), DateField::Date),
        None if found.is_string() => DateField::Absent,
        None => DateField::Unreadable(found.to_string()),
    }
}

/// Records the paths that were asked for, for the test that compares them with what is built.
#[cfg(test)]
pub(crate) mod asked {
    use std::{cell::RefCell, collections::BTreeSet};

    thread_local! {
        static PATHS: RefCell<BTreeSet<String>> = RefCell::default();
    }

    pub(super) fn note(path: &str) {
        PATHS.with_borrow_mut(|paths| {
            if !paths.contains(path) {
                paths.insert(path.to_owned());
            }
        });
    }

    /// Every path that this thread has asked for.
    pub(crate) fn paths() -> BTreeSet<String> {
        PATHS.with_borrow(BTreeSet::clone)
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float)
            if number.is_f64() && float.fract() == 0.0 && float.abs() < LARGEST_EXACT_FLOAT =>
        {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_is_found_nested_flat_or_half_of_each() {
        for value in [
            json!({"host": {"os": {"type": "linux"}}}),
            json!({"host.os.type": "linux"}),
            json!({"host.os": {"type": "linux"}}),
            json!({"host": {"os.type": "linux"}}),
            json!({"host.os.type": null, "host": {"os.type": null, "os": {"type": "linux"}}}),
        ] {
            assert_eq!(text_at(&value, "host.os.type").as_deref(), Some("linux"), "{value}");
        }
        assert_eq!(at(&json!({"host": 7}), "host.os.type"), None);
    }

    #[test]
    fn a_text_is_read_from_any_scalar_and_placeholders_are_nothing() {
        for (value, expected) in [
            (json!("a command "), Some("a command ")),
            (json!("nul\u{0}"), Some("nul")),
            (json!(2912), Some("2912")),
            (json!(2912.0), Some("2912")),
            (json!(0.5), Some("0.5")),
            (json!(18_446_735_308_637_077_504_u64), Some("18446735308637077504")),
            (json!(true), Some("true")),
            (json!(["only"]), Some("only")),
            (json!(["one", "two"]), None),
            (json!([[[]]]), None),
            (json!({"a": 1}), None),
            (json!(null), None),
            (json!(" "), None),
            (json!("-"), None),
            (json!("N/A"), None),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn whole_numbers_are_read_from_any_spelling_and_never_wrap() {
        let value = json!({
            "int": 7, "text": " 7 ", "float": 7.0, "half": 7.5, "huge": 1e300, "negative": -1,
            "unsigned": 18_446_735_308_637_077_504_u64, "word": "seven", "list": [], "truth": true
        });
        for path in ["int", "text", "float"] {
            assert_eq!(integer_at(&value, path), Some(7), "{path}");
            assert_eq!(unsigned_at(&value, path), Some(7), "{path}");
        }
        for path in ["half", "huge", "word", "list", "truth", "missing"] {
            assert_eq!(integer_at(&value, path), None, "{path}");
            assert_eq!(unsigned_at(&value, path), None, "{path}");
        }
        assert_eq!(integer_at(&value, "unsigned"), None);
        assert_eq!(unsigned_at(&value, "unsigned"), Some(18_446_735_308_637_077_504));
        assert_eq!(integer_at(&value, "negative"), Some(-1));
        assert_eq!(unsigned_at(&value, "negative"), None);
    }

    #[test]
    fn a_truth_is_read_from_booleans_words_and_numbers() {
        let value = json!({"yes": [true, "True", " yes ", 1], "no": [false, "FALSE", "no", 0],
            "neither": [2, "maybe", "", null, {}, []]});
        let read = |list: &str| {
            let items = value[list].as_array().unwrap().iter();
            items.map(|item| truth_at(&json!({"it": item}), "it")).collect::<Vec<_>>()
        };
        assert_eq!(read("yes"), [Some(true); 4]);
        assert_eq!(read("no"), [Some(false); 4]);
        assert_eq!(read("neither"), [None; 6]);
    }

    #[test]
    fn a_list_is_an_array_a_single_value_or_nothing() {
        let value = json!({"many": ["a", null, "", 7, {}], "one": "a", "none": null});
        assert_eq!(texts_at(&value, "many"), ["a", "7"]);
        assert_eq!(texts_at(&value, "one"), ["a"]);
        assert!(texts_at(&value, "none").is_empty());
    }

    #[test]
    fn a_date_field_tells_absent_from_unreadable() {
        let value = json!({"good": "2026-05-26", "number": 1_700_000_000, "empty": "", "bad": "x",
            "odd": {"a": 1}});
        assert!(matches!(date_at(&value, "good"), DateField::Date(_)));
        assert!(matches!(date_at(&value, "number"), DateField::Date(_)));
        assert_eq!(date_at(&value, "empty"), DateField::Absent);
        assert_eq!(date_at(&value, "missing"), DateField::Absent);
        assert_eq!(date_at(&value, "bad"), DateField::Unreadable("x".to_owned()));
        assert_eq!(date_at(&value, "odd"), DateField::Unreadable("{\"a\":1}".to_owned()));
    }
}
