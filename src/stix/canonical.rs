//! Canonical JSON (RFC 8785), the text that deterministic ids are hashed from.
//!
//! Does not live here: what is hashed for which type (`id`).

use serde::Serialize;
use serde_json::{Number, Value};

/// Writes `value` as RFC 8785 says: keys sorted by UTF-16 code units, no blanks, shortest escapes,
/// numbers in the form of ECMAScript.
pub fn canonical(value: &Value) -> String {
    let mut text = Vec::with_capacity(128);
    write_value(&mut text, value);
    as_text(text)
}

fn as_text(written: Vec<u8>) -> String {
    String::from_utf8(written).expect("nothing but texts was written")
}

fn write_value(text: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => write_as_serde(text, value),
        Value::Number(number) => write_number(text, number),
        Value::Array(items) => {
            text.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(b',');
                }
                write_value(text, item);
            }
            text.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            text.push(b'{');
            for (position, (key, item)) in members.into_iter().enumerate() {
                if position > 0 {
                    text.push(b',');
                }
                write_as_serde(text, key);
                text.push(b':');
                write_value(text, item);
            }
            text.push(b'}');
        }
    }
}

/// `serde_json` writes strings, whole numbers, booleans and null exactly as RFC 8785 asks.
fn write_as_serde<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(text, value).expect("bytes in memory take every write");
}

fn write_number(text: &mut Vec<u8>, number: &Number) {
    if number.is_i64() || number.is_u64() {
        return write_as_serde(text, number);
    }
    let float = number.as_f64().unwrap_or_default();
    let magnitude = float.abs();
    let written = if float == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&magnitude) {
        float.to_string()
    } else {
        // Rust writes 1e21 and 1e-7, ECMAScript 1e+21 and 1e-7.
        let exponential = format!("{float:e}");
        let (digits, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        format!("{digits}e{sign}{exponent}")
    };
    text.extend_from_slice(written.as_bytes());
}
