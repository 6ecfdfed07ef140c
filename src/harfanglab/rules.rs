//! The rule behind an alert: an IOC by its value, a Sigma rule by id, then by name, a YARA file by
//! the first of several possible names. Answers are checked to be what was asked for, then cached.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    Console, ConsoleError,
    cache::RuleCache,
    lookup::{found, object, values},
    pages::read_page,
};
use crate::alert::{
    date,
    intelligence::{IocRule, SigmaRule, YaraFile},
};

impl Console {
    /// The IOC with exactly this value, and of this type when one is told: the same text may be
    /// listed as a file name and as a domain name.
    pub async fn ioc_rule(
        &self,
        kind: Option<&str>,
        value: &str,
    ) -> Result<Option<IocRule>, ConsoleError> {
        let is_it = |item: &Value| {
            let own = item.get("type").and_then(Value::as_str).unwrap_or_default();
            is(item, "value", value) && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(own))
        };
        let look_up = async {
            let items = self.rule_list("IOCRule", "value__exact", value).await?;
            Ok(first_enabled(items, is_it).map(|item| ioc_rule(&item)))
        };
        let key = format!("{} {value}", kind.unwrap_or("any"));
        let rule = self.rules().ioc.get_or(key, look_up).await?;
        Ok(rule.map(Arc::unwrap_or_clone))
    }

    /// The Sigma rule with this id (when it looks like one: alerts of some engines carry the rule's
    /// name there), else with this name.
    pub async fn sigma_rule(
        &self,
        rule_id: Option<&str>,
        name: Option<&str>,
    ) -> Result<Option<SigmaRule>, ConsoleError> {
        self.rule_of("SigmaRule", "rule_name__exact", &self.rules().sigma, rule_id, name).await
    }

    /// The correlation rule with this id, else with this name. Its content is an indicator only if
    /// it is a Sigma rule's, which the conversion sees to.
    pub async fn correlation_rule(
        &self,
        rule_id: Option<&str>,
        name: Option<&str>,
    ) -> Result<Option<SigmaRule>, ConsoleError> {
        let cache = &self.rules().correlation;
        self.rule_of("CorrelationRule", "name__exact", cache, rule_id, name).await
    }

    async fn rule_of(
        &self,
        collection: &str,
        name_filter: &str,
        cache: &RuleCache<SigmaRule>,
        rule_id: Option<&str>,
        name: Option<&str>,
    ) -> Result<Option<SigmaRule>, ConsoleError> {
        if let Some(id) = rule_id.filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
            let look_up = self.rule_by_id(collection, id);
            if let Some(rule) = cache.get_or(format!("id {id}"), look_up).await? {
                return Ok(Some(Arc::unwrap_or_clone(rule)));
            }
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let look_up = async {
            let items = self.rule_list(collection, name_filter, name).await?;
            let is_it = |item: &Value| is(item, "rule_name", name) || is(item, "name", name);
            Ok(first_enabled(items, is_it).map(|item| sigma_rule(&item)))
        };
        let rule = cache.get_or(format!("name {name}"), look_up).await?;
        Ok(rule.map(Arc::unwrap_or_clone))
    }

    /// The YARA file with the first of these names that exists.
    pub async fn yara_file(&self, candidates: &[String]) -> Result<Option<YaraFile>, ConsoleError> {
        for name in candidates.iter().filter(|name| !name.is_empty()) {
            let look_up = async {
                let items = self.rule_list("YaraFile", "name__exact", name).await?;
                Ok(first_enabled(items, |item| is(item, "name", name)).map(|item| yara_file(&item)))
            };
            match self.rules().yara.get_or(name.clone(), look_up).await {
                Ok(Some(file)) => return Ok(Some(Arc::unwrap_or_clone(file))),
                Ok(None) => {}
                // Another name may do.
                Err(failure) if failure.is_unaskable() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    async fn rule_by_id(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<Option<SigmaRule>, ConsoleError> {
        let path = ["api", "data", "threat_intelligence", collection, id, ""];
        let item = found(self.get(&path, &[], object).await)?;
        Ok(item.map(|item| sigma_rule(&item)))
    }

    async fn rule_list(
        &self,
        collection: &str,
        filter: &str,
        value: &str,
    ) -> Result<Vec<Value>, ConsoleError> {
        let path = ["api", "data", "threat_intelligence", collection, ""];
        let query = [(filter, value.to_owned()), ("limit", "20".to_owned())];
        let page = self.get(&path, &query, |request, answer| read_page(request, answer, 0, 20));
        Ok(values(page.await?).collect())
    }
}

/// The first item that is what was asked for and is switched on, else the first that is: the same
/// IOC may stand in several sources.
fn first_enabled(items: Vec<Value>, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut matching: Vec<_> = items.into_iter().filter(|item| is_it(item)).collect();
    let is_enabled = |item: &Value| item.get("enabled").and_then(Value::as_bool) != Some(false);
    let index = matching.iter().position(is_enabled).unwrap_or(0);
    (index < matching.len()).then(|| matching.swap_remove(index))
}

fn ioc_rule(item: &Value) -> IocRule {
    IocRule {
        kind: text(item, "type").unwrap_or_default().to_lowercase(),
        value: text(item, "value").unwrap_or_default(),
        port: text(item, "port").and_then(|port| port.parse().ok()),
        description: text(item, "description").or_else(|| text(item, "comment")),
        created: time(item, "creation_date"),
        modified: time(item, "last_update"),
    }
}

fn sigma_rule(item: &Value) -> SigmaRule {
    SigmaRule {
        name: text(item, "rule_name").or_else(|| text(item, "name")).unwrap_or_default(),
        content: text(item, "content").unwrap_or_default(),
        technique_tags: texts(item, "rule_technique_tags"),
        references: texts(item, "references"),
        created: time(item, "creation_date"),
        modified: time(item, "last_update"),
    }
}

fn yara_file(item: &Value) -> YaraFile {
    YaraFile {
        name: text(item, "name").unwrap_or_default(),
        content: text(item, "content").unwrap_or_default(),
        technique_tags: texts(item, "rule_technique_tags"),
        created: time(item, "creation_date"),
        modified: time(item, "last_update"),
    }
}

/// A text or number that is there and says something.
fn text(item: &Value, field: &str) -> Option<String> {
    match item.get(field)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn texts(item: &Value, field: &str) -> Vec<String> {
    let values = item.get(field).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn time(item: &Value, field: &str) -> Option<DateTime<Utc>> {
    date::parse(item.get(field)?.as_str()?)
}

fn is(item: &Value, field: &str, value: &str) -> bool {
    item.get(field).and_then(Value::as_str) == Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_read_whatever_its_fields_have_become() {
        let rule = ioc_rule(&json!({"type": "IP_dst", "value": "192.0.2.7", "port": "443",
            "description": null, "comment": "seen in a campaign", "creation_date": "2026-01-02"}));
        assert_eq!((rule.kind.as_str(), rule.port), ("ip_dst", Some(443)));
        assert_eq!(rule.description.as_deref(), Some("seen in a campaign"));
        assert_eq!(rule.created, "2026-01-02T00:00:00Z".parse().ok());

        let rule = sigma_rule(&json!({"name": "A", "rule_name": "", "content": 7,
            "rule_technique_tags": "attack.t1059", "references": [null, "https://a.example"],
            "last_update": {"odd": true}}));
        assert_eq!((rule.name.as_str(), rule.content.as_str()), ("A", "7"));
        assert_eq!(rule.references, ["https://a.example"]);
        assert_eq!((rule.technique_tags.len(), rule.modified), (0, None));

        assert_eq!(yara_file(&json!([])), YaraFile::default());
    }

    #[test]
    fn of_several_sources_the_enabled_one_is_taken() {
        let items = vec![
            json!({"value": "a", "n": 1, "enabled": false}),
            json!({"value": "b"}),
            json!({"value": "a", "n": 2, "enabled": true}),
            json!({"value": "a", "n": 3}),
        ];
        let pick = |items| first_enabled(items, |item: &Value| is(item, "value", "a"));
        assert_eq!(pick(items.clone()).unwrap()["n"], 2);
        assert_eq!(pick(items[..2].to_vec()).unwrap()["n"], 1);
        assert_eq!(pick(items[1..2].to_vec()), None);
    }
}
