//! SHA-256 over the canonical JSON of a text: the fields of every object sorted by name, no white
//! space, the spelling of `serde_json`. Journals hold these hashes as keys, so they never change.

use std::{borrow::Cow, io};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{build::decoded, scan};

/// Deepest nesting that is put in order: no earlier version read a deeper one.
const DEPTH_MAX: usize = 128;
/// The most fields of one object that are sorted; an alert has some hundred.
const FIELDS_MAX: usize = 65_536;

/// SHA-256 in hex of the well-formed `text` in canonical form. What is nested too deeply, or has too
/// many fields to sort, is hashed as it is written.
pub fn content_hash(text: &str) -> String {
    let mut hash = Hash(Sha256::new());
    hash.value(text.trim(), 0);
    hex::encode(hash.0.finalize())
}

struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Hash {
    fn value(&mut self, text: &str, depth: usize) {
        match text.as_bytes().first() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => self.0.update(text),
            Some(b'{') => self.object(text, depth),
            Some(b'[') => {
                self.0.update("[");
                for (index, item) in scan::items(text).enumerate() {
                    if index > 0 {
                        self.0.update(",");
                    }
                    self.value(item, depth + 1);
                }
                self.0.update("]");
            }
            _ => self.scalar(text),
        }
    }

    fn object(&mut self, text: &str, depth: usize) {
        let mut fields: Vec<(Cow<'_, str>, &str)> = scan::fields(text)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (decoded(name), value))
            .collect();
        if fields.len() > FIELDS_MAX {
            return self.0.update(text);
        }
        // Of fields with one name the last counts, as JSON readers take it.
        fields.reverse();
        fields.sort_by(|(left, _), (right, _)| left.cmp(right));
        fields.dedup_by(|(later, _), (first, _)| later == first);
        self.0.update("{");
        for (index, (name, value)) in fields.into_iter().enumerate() {
            if index > 0 {
                self.0.update(",");
            }
            self.write(&Value::from(name));
            self.0.update(":");
            self.value(value, depth + 1);
        }
        self.0.update("}");
    }

    fn scalar(&mut self, text: &str) {
        let is_plain = text.starts_with('"') && !text.contains('\\');
        if is_plain {
            return self.0.update(text);
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.write(&value),
            Err(_out_of_range) => self.0.update(text),
        }
    }

    fn write(&mut self, value: &Value) {
        serde_json::to_writer(self, value)
            .expect("a scalar is JSON, and a hash takes every byte that is written to it");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The canonical form as it was made of a whole value.
    fn canonical(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                let fields = fields.into_iter().map(|(name, value)| {
                    format!("{}:{}", Value::from(name.as_str()), canonical(value))
                });
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
            }
            scalar => scalar.to_string(),
        }
    }

    fn of_whole(text: &str) -> String {
        let value: Value = serde_json::from_str(text).unwrap();
        hex::encode(Sha256::digest(canonical(&value).as_bytes()))
    }

    #[test]
    fn the_hash_is_that_of_the_whole_value_whatever_the_spelling() {
        for text in [
            r#" { "b" : [ 1.0 , 1e3, -0, 1E-7, 18446744073709551616 ] , "a" : { } } "#,
            r#"{"\u0062":"\u00e9\/\ud83d\ude00\n\u0001","a":"é/ 😀"}"#,
            r#"{"a":1,"b":2,"a":{"z":[[]],"y":null}}"#,
            "[true,false,null,\"\"]",
            "{\"é\":1,\"e\":2,\"\u{1f600}\":3,\"\u{ffff}\":4}",
            "\"x\"",
        ] {
            assert_eq!(content_hash(text), of_whole(text), "{text}");
        }
    }

    #[test]
    fn what_no_earlier_version_read_has_a_hash_all_the_same() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let fields: Vec<_> = (0..=FIELDS_MAX).map(|number| format!("\"{number}\":0")).collect();
        let wide = format!("{{{}}}", fields.join(","));
        let texts = [deep.as_str(), wide.as_str(), "{\"a\":1e400}", "{\"a\":\"\\ud800\"}"];
        let mut hashes: Vec<_> = texts.into_iter().map(content_hash).collect();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }

    fn json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,3}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_has_the_hash_that_it_had(value in json()) {
            prop_assert_eq!(content_hash(&value.to_string()), of_whole(&value.to_string()));
            prop_assert_eq!(content_hash(&format!("{value:#}")), of_whole(&value.to_string()));
        }
    }
}
