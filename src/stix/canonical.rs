//! Canonical JSON (RFC 8785), the text that deterministic ids are hashed from.
//!
//! Does not live here: what is hashed for which type (`id`).

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Writes `value` as RFC 8785 says: keys sorted by UTF-16 code units, no blanks, shortest escapes,
/// numbers in the form of ECMAScript.
pub fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(128);
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(text, number),
        Value::String(string) => write_string(text, string),
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            text.push('{');
            for (position, (key, item)) in members.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_string(text, key);
                text.push(':');
                write_value(text, item);
            }
            text.push('}');
        }
    }
}

/// `serde_json` escapes a string exactly as RFC 8785 asks.
fn write_string(text: &mut String, string: &str) {
    text.push_str(&serde_json::to_string(string).expect("a string is always writable as JSON"));
}

fn write_number(text: &mut String, number: &Number) {
    if number.is_i64() || number.is_u64() {
        text.push_str(&number.to_string());
        return;
    }
    let float = number.as_f64().unwrap_or_default();
    let magnitude = float.abs();
    if float == 0.0 {
        text.push('0');
    } else if (1e-6..1e21).contains(&magnitude) {
        text.push_str(&float.to_string());
    } else {
        // Rust writes 1e21 and 1e-7, ECMAScript 1e+21 and 1e-7.
        let exponential = format!("{float:e}");
        let (digits, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        write!(text, "{digits}e{sign}{exponent}").expect("a string takes every write");
    }
}
