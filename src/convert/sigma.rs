//! The text of a Sigma rule. Thousands of alerts carry the same few texts, and each is looked at several
//! times on its way; reading the YAML each time took a sixth of what an alert costs between journal and
//! queue, with short rules. So what a text says is kept beside it: a pure function of the text, remembered,
//! and bounded in bytes.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use moka::sync::Cache;
use serde_json::{Map, Value};
use serde_saphyr::DuplicateKeyPolicy;

use super::sigma_check;
use crate::stix::clean;

/// Bytes of texts, and of what they say, that are kept at most.
const LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of an entry beside its texts, about.
const ENTRY_BYTES: usize = 512;

type Texts = Cache<String, Option<Arc<SigmaText>>>;

static TEXTS: LazyLock<Texts> = LazyLock::new(|| bounded(LIMIT_BYTES));

/// Facts of the text of a Sigma rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SigmaText {
    /// The text itself, cleaned.
    pub(super) content: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) references: Vec<String>,
    /// `date`.
    pub(super) created: Option<DateTime<Utc>>,
    /// `modified`.
    pub(super) modified: Option<DateTime<Utc>>,
    /// Reason for which OpenCTI's checker surely refuses it; `None` when it may pass.
    pub(super) refusal: Option<String>,
}

impl SigmaText {
    /// Reads a Sigma rule. `None` when this text is no rule with a `logsource` and a `detection`.
    pub(super) fn read(content: &str) -> Option<Arc<Self>> {
        Self::read_from(&TEXTS, content)
    }

    fn read_from(texts: &Texts, content: &str) -> Option<Arc<Self>> {
        texts.get_with_by_ref(content.trim(), || Self::parse(content).map(Arc::new))
    }

    fn parse(content: &str) -> Option<Self> {
        let content = clean::text(content);
        let yaml = yaml(&content)?;
        let description = yaml.get("description").and_then(Value::as_str).map(clean::text);
        Some(Self {
            title: line(&yaml, "title"),
            description: description.filter(|text| !text.is_empty()),
            tags: texts(&yaml, "tags"),
            references: texts(&yaml, "references"),
            created: day(&yaml, "date"),
            modified: day(&yaml, "modified"),
            refusal: sigma_check::check(&yaml).err(),
            content,
        })
    }

    fn size_bytes(&self) -> usize {
        let Self { content, title, description, tags, references, refusal, .. } = self;
        let optional = [title, description, refusal].into_iter().flatten();
        let listed = tags.iter().chain(references);
        let listed = listed.map(|text| text.len() + size_of::<String>()).sum::<usize>();
        content.len() + optional.map(String::len).sum::<usize>() + listed
    }
}

fn bounded(limit_bytes: u64) -> Texts {
    Cache::builder()
        .max_capacity(limit_bytes)
        .weigher(|content: &String, text: &Option<Arc<SigmaText>>| {
            let said = text.as_ref().map_or(0, |text| text.size_bytes());
            u32::try_from(ENTRY_BYTES + content.len() + said).unwrap_or(u32::MAX)
        })
        .build()
}

/// Returns the YAML of a rule. Of a key that is there twice the last value counts, as for the platform's
/// checker.
fn yaml(content: &str) -> Option<Value> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        // `y` and `n` are texts to the platform's checker.
        strict_booleans: true,
    };
    rule_of(serde_saphyr::from_multiple_with_options(content, options).ok()?)
}

/// Returns, of several documents, the first that has a `logsource` and a `detection` with its `condition`,
/// with what a document of `action: global` before it says.
fn rule_of(documents: Vec<Value>) -> Option<Value> {
    let mut global = Value::Object(Map::new());
    for document in documents {
        if document.get("action").is_some_and(|action| action == "global") {
            merge(&mut global, document);
            continue;
        }
        if is_rule_with(&global, &document) {
            merge(&mut global, document);
            return Some(global);
        }
    }
    None
}

/// Returns whether a document, put over the `global` one, has a `logsource` and a `detection` with its
/// `condition`. Nothing is merged for that: thousands of documents may follow a large global one.
fn is_rule_with(global: &Value, document: &Value) -> bool {
    let any_map = |key: &str, is_wanted: fn(&Map<String, Value>) -> bool| {
        let map = |value: &Value| value.as_object().is_some_and(is_wanted);
        let of_global = || global.get(key).is_some_and(map);
        match document.get(key) {
            Some(own @ Value::Object(_)) => map(own) || of_global(),
            Some(_) => false,
            None => of_global(),
        }
    };
    document.is_object()
        && any_map("logsource", |logsource| !logsource.is_empty())
        && any_map("detection", |detection| detection.contains_key("condition"))
}

/// Puts `other` over `value`, map by map.
fn merge(value: &mut Value, other: Value) {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => {
            for (key, other) in other {
                merge(value.entry(key).or_insert(Value::Null), other);
            }
        }
        (value, other) => *value = other,
    }
}

/// The texts of a list in a rule.
fn texts(yaml: &Value, key: &str) -> Vec<String> {
    let items = yaml.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A text of one line in a rule.
fn line(yaml: &Value, key: &str) -> Option<String> {
    let text = yaml.get(key).and_then(Value::as_str).map(clean::line);
    text.filter(|text| !text.is_empty())
}

/// `2024/11/12` or `2024-11-12`, as Sigma rules write their dates.
fn day(yaml: &Value, key: &str) -> Option<DateTime<Utc>> {
    let text = yaml.get(key)?.as_str()?.trim().replace('/', "-");
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use serde_json::json;

    use super::*;

    fn rule(title: &str) -> String {
        format!(
            "title: {title}\ndate: 2026/05/04\ntags:\n  - attack.t1059\nlogsource:\n  product: linux\n\
             detection:\n  selection:\n    Image: a\n  condition: selection\n"
        )
    }

    #[test]
    fn a_text_is_read_once_and_says_the_same_ever_after() {
        let content = rule("Read once");
        let first = SigmaText::read(&content).unwrap();
        assert_eq!(first.title.as_deref(), Some("Read once"));
        assert_eq!(first.tags, ["attack.t1059"]);
        for same in [&content, &first.content, &format!("\n{content}\n")] {
            assert!(Arc::ptr_eq(&first, &SigmaText::read(same).unwrap()), "{same}");
        }
        assert_eq!(*first, SigmaText::parse(&content).unwrap(), "a function of the text alone");
        let changed = SigmaText::read(&content.replace("once", "twice")).unwrap();
        assert_eq!(changed.title.as_deref(), Some("Read twice"), "another text is another rule");
        assert_eq!(SigmaText::read("title: no rule"), None);
    }

    #[test]
    fn however_many_texts_there_are_what_is_kept_of_them_is_bounded() {
        let limit_bytes = 64 * 1024;
        let texts = bounded(limit_bytes);
        for number in 0..200 {
            let content = rule(&format!("{number} {}", "x".repeat(2_000)));
            assert!(SigmaText::read_from(&texts, &content).is_some());
        }
        SigmaText::read_from(&texts, &"y".repeat(100_000));
        texts.run_pending_tasks();
        assert!(texts.weighted_size() <= limit_bytes, "{}", texts.weighted_size());
        assert!(texts.entry_count() > 5, "{} texts of 200 are kept", texts.entry_count());
    }

    #[test]
    fn a_global_document_is_not_copied_for_each_document_that_follows() {
        let description = "Said once".to_owned();
        let address = description.as_ptr();
        let global = [
            ("action".to_owned(), Value::from("global")),
            ("logsource".to_owned(), json!({ "product": "linux" })),
            ("description".to_owned(), Value::String(description)),
        ];
        let mut documents = vec![Value::Object(global.into_iter().collect())];
        documents.extend((0..10).map(|number| json!({ "number": number })));
        documents.push(json!({ "detection": { "condition": "selection" } }));
        let rule = rule_of(documents).unwrap();
        assert_eq!(rule["detection"]["condition"], "selection");
        assert_eq!(rule.get("number"), None, "what is no rule adds nothing");
        let said = rule["description"].as_str().unwrap();
        assert_eq!(said, "Said once");
        // A copy has another address: the text itself is alive while it is made.
        assert!(ptr::eq(said.as_ptr(), address), "the text itself, and no copy");
    }
}
