//! Builds what is used of an element, and counts while it does.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    MaxValues, Unread,
    fields::{is_read, is_read_in_any_block, is_read_whole},
    scan,
};

/// Deepest nesting that is built: readers look six levels deep.
const DEPTH_MAX: usize = 12;
/// The field in which the REST API's details have the whole alert.
const WRAPPER: &str = "alert";
/// Longest name of a field that is kept, in bytes; no reader knows a longer one.
const NAME_MAX_BYTES: usize = 128;

/// Builds the part of the well-formed `text` that is used.
pub(super) fn pruned(text: &str, max: MaxValues) -> Result<Value, Unread> {
    Builder { left: max.0, max: max.0 }.value(text.trim(), Names::OfElement, 0)
}

/// The fields of an object that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those that are read; the others empty.
    OfElement,
    /// Those that are read.
    OfBlock,
    /// Those that are read whatever the block is called.
    OfUnknownBlock,
    /// All.
    All,
}

struct Builder {
    left: usize,
    max: usize,
}

impl Builder {
    fn count(&mut self) -> Result<(), Unread> {
        self.left = self.left.checked_sub(1).ok_or(Unread::TooManyValues(self.max))?;
        Ok(())
    }

    fn value(&mut self, text: &str, names: Names, depth: usize) -> Result<Value, Unread> {
        self.count()?;
        Ok(match text.as_bytes().first() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Value::Null,
            Some(b'{') => self.object(text, names, depth + 1)?.into(),
            Some(b'[') => {
                let mut items = Vec::new();
                for item in scan::items(text) {
                    items.push(self.value(item, inner(names), depth + 1)?);
                }
                items.into()
            }
            _ => scalar(text),
        })
    }

    fn object(
        &mut self,
        text: &str,
        names: Names,
        depth: usize,
    ) -> Result<Map<String, Value>, Unread> {
        let mut object = Map::new();
        for (name, value) in scan::fields(text) {
            let name = decoded(name);
            let kept = match names {
                Names::All => true,
                Names::OfElement | Names::OfBlock => is_read(&name),
                Names::OfUnknownBlock => is_read_in_any_block(&name),
            };
            if kept && name.len() <= NAME_MAX_BYTES {
                let names = match names {
                    Names::OfElement if name == WRAPPER => Names::OfElement,
                    _ if is_read_whole(&name) => Names::All,
                    _ => inner(names),
                };
                let value = self.value(value, names, depth)?;
                object.insert(name.into_owned(), value);
            } else if names == Names::OfElement && value.starts_with('{') {
                let fields = self.object(value, Names::OfUnknownBlock, depth + 1)?;
                self.keep_empty(&mut object, &name, fields.into())?;
            } else if names == Names::OfElement || (names == Names::OfBlock && object.is_empty()) {
                // A block that has only what nobody reads is not an empty one.
                self.keep_empty(&mut object, &name, empty(value))?;
            }
        }
        Ok(object)
    }

    /// Keeps a field that is not read, once.
    fn keep_empty(
        &mut self,
        object: &mut Map<String, Value>,
        name: &str,
        empty: Value,
    ) -> Result<(), Unread> {
        let name = &name[..name.floor_char_boundary(NAME_MAX_BYTES)];
        if let Some(known) = object.get_mut(name) {
            *known = empty;
        } else {
            self.count()?;
            object.insert(name.to_owned(), empty);
        }
        Ok(())
    }
}

/// Returns the fields that are kept of a field's own fields.
fn inner(names: Names) -> Names {
    if names == Names::All { Names::All } else { Names::OfBlock }
}

/// An empty value of the same type.
fn empty(text: &str) -> Value {
    match text.as_bytes().first() {
        Some(b'{') => Value::Object(Map::new()),
        Some(b'[') => Value::Array(Vec::new()),
        Some(b'"') => Value::String(String::new()),
        Some(b't' | b'f') => Value::Bool(false),
        Some(b'n') | None => Value::Null,
        Some(_) => Value::from(0),
    }
}

/// A string, number, truth or null; null for a number out of range.
fn scalar(text: &str) -> Value {
    match text.as_bytes() {
        [b'"', ..] => Value::String(decoded(text).into_owned()),
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// A string without its quotes and escapes. One with half a character in it stays as it is written:
/// `intake::decode` has replaced those.
pub(super) fn decoded(quoted: &str) -> Cow<'_, str> {
    let inside = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inside = inside.unwrap_or(quoted);
    if inside.contains('\\') {
        serde_json::from_str(quoted).map_or(Cow::Borrowed(inside), Cow::Owned)
    } else {
        Cow::Borrowed(inside)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str, max: usize) -> Result<Value, Unread> {
        super::super::read(text, MaxValues(max))
    }

    #[test]
    fn fields_that_nobody_reads_keep_their_type_and_nothing_else() {
        let text = r#"{"level":"high","zz1":{"a":[1]},"zz2":[1,2],"zz3":"long","zz4":1e400,
            "zz5":true,"zz6":null,"process":{"zz":1,"pid":7,"zy":2,"hashes":{"sha256":"00"}},
            "eventlog":{"zz":{"a":1}},"zz1":{"b":2},"zz7":{"ioc_matches":["x"],"b":[2]}}"#;
        assert_eq!(
            read(text, 100).unwrap(),
            json!({"level": "high", "zz1": {}, "zz2": [], "zz3": "", "zz4": 0, "zz5": false,
                "zz6": null, "process": {"zz": 0, "pid": 7, "hashes": {"sha256": "00"}},
                "eventlog": {"zz": {}}, "zz7": {"ioc_matches": ["x"]}})
        );
    }

    #[test]
    fn a_value_that_cannot_be_represented_is_lost_alone() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let text = format!(r#"{{"pid":1e400,"level":"low","tags":{deep},"zz":{deep}}}"#);
        let value = read(&text, 100).unwrap();
        assert_eq!((&value["pid"], &value["level"]), (&Value::Null, &json!("low")));
        assert!(value["tags"].is_array());
        assert_eq!(value["zz"], json!([]));
    }

    #[test]
    fn only_what_would_be_built_is_counted_and_the_bound_is_exact() {
        let text = r#"{"tags":["a","b"],"zz":[1,2,3,4,5],"process":{"pid":1}}"#;
        // The element, tags, two items, zz, process, pid.
        assert!(read(text, 7).is_ok());
        assert_eq!(read(text, 6), Err(Unread::TooManyValues(6)));
        let repeated = format!(r#"{{{}"level":"low"}}"#, r#""":0,"#.repeat(1_000));
        assert_eq!(read(&repeated, 3).unwrap(), json!({"": 0, "level": "low"}));
        for hostile in ["[[]]", "1", r#"{"":0}"#] {
            let items = vec![hostile; 1_000].join(",");
            let text = format!(r#"{{"tags":[{items}]}}"#);
            assert_eq!(read(&text, 500), Err(Unread::TooManyValues(500)), "{hostile}");
            assert!(read(&format!(r#"{{"zz":[{items}]}}"#), 2).is_ok(), "{hostile}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_the_last_field_of_a_name_counts() {
        let text = r#"{"l\u0065vel":"a\n\"\ud83d\ude00","status":"new","status":"closed"}"#;
        let value = read(text, 10).unwrap();
        assert_eq!(value, json!({"level": "a\n\"\u{1f600}", "status": "closed"}));
    }
}
