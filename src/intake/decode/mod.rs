//! Splits a request body into JSON elements: an object, an array of objects, or NDJSON (several
//! values one after the other, parted by white space).
//!
//! One unreadable element never refuses the others: it is handed on with its text, so that it can
//! become a dead letter. Only a body in which nothing at all is readable is an error.
//!
//! Does not live here: what an element means (`intake::dialect`), how large a body may be and how
//! it was compressed (the webhook).

mod half_characters;
mod scanner;

use serde_json::Value;

use self::scanner::{Scanner, Stop};

/// One element of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// A JSON object.
    Json {
        /// The element's own text as sent. Bytes that are not UTF-8, and escapes of half a
        /// character, stand as U+FFFD in it, so that it can be parsed again.
        raw: String,
        /// What the text says.
        value: Value,
    },
    /// Something that is no JSON object.
    Unreadable {
        /// Its text as sent.
        text: String,
        /// Why it cannot be read.
        reason: String,
    },
}

/// Why a body was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is empty.
    #[error("the body is empty; send a JSON object, an array of objects or NDJSON")]
    Empty,
    /// Nothing in the body is JSON.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// What the JSON reader says, with the place.
        reason: String,
    },
    /// There are more elements than one body may have.
    #[error("the body has more than {max_elements} elements; send fewer at once")]
    TooManyElements {
        /// The bound.
        max_elements: usize,
    },
}

/// Splits `body` into at most `max_elements` elements, in the order in which they stand.
///
/// An empty array is a body without elements, not an error. A well-formed value that is no object,
/// is nested too deeply or has a number out of range is an unreadable element; a body that breaks
/// off keeps the elements before the break and has the rest as an unreadable one.
pub fn decode(body: &[u8], max_elements: usize) -> Result<Vec<Element>, DecodeError> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut scanner = Scanner::of(text, max_elements);
    let too_many = DecodeError::TooManyElements { max_elements };
    match scanner.scan() {
        Ok(()) => {}
        Err(Stop::TooMany) => return Err(too_many),
        Err(Stop::Broken { reason }) => {
            let well_formed = scanner.elements.len();
            scanner.recover(&reason).map_err(|_| too_many)?;
            let readable = |element: &Element| matches!(element, Element::Json { .. });
            if well_formed == 0 && !scanner.elements.iter().any(readable) {
                return Err(DecodeError::NotJson { reason });
            }
        }
    }
    Ok(scanner.elements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `J` and the raw text, or `U` and the text, of each element.
    fn read(body: &str) -> Vec<String> {
        let elements = decode(body.as_bytes(), 100).unwrap();
        let show = |element| match element {
            Element::Json { raw, value } => {
                assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), value);
                format!("J{raw}")
            }
            Element::Unreadable { text, .. } => format!("U{text}"),
        };
        elements.into_iter().map(show).collect()
    }

    #[test]
    fn an_object_an_array_and_ndjson_are_split_into_their_own_texts() {
        assert_eq!(read(r#" {"a": 1 } "#), [r#"J{"a": 1 }"#]);
        assert_eq!(read("\u{feff}[{\"a\":1} ,\n{\"b\" : 2}]\n"), ["J{\"a\":1}", "J{\"b\" : 2}"]);
        assert_eq!(
            read("{\"a\":1}\r\n{\"b\":2}\n\n[{\"c\":3}]"),
            ["J{\"a\":1}", "J{\"b\":2}", "J{\"c\":3}"]
        );
        assert_eq!(read("{}"), ["J{}"]);
        assert_eq!(read("[]"), Vec::<String>::new());
    }

    #[test]
    fn an_unreadable_element_does_not_refuse_the_others() {
        assert_eq!(
            read(r#"[{"a":1},7,"x",null,[{}],{"b":2}]"#),
            ["J{\"a\":1}", "U7", "U\"x\"", "Unull", "U[{}]", "J{\"b\":2}"]
        );
        assert_eq!(
            read("{\"a\":1}\n{\"b\":\nlorem\n{\"c\":3}"),
            ["J{\"a\":1}", "U{\"b\":\nlorem", "J{\"c\":3}"]
        );
        assert_eq!(read("not json\n{\"a\":1}"), ["Unot json", "J{\"a\":1}"]);
        assert_eq!(read("{\"a\":1e999}{\"b\":2}"), ["U{\"a\":1e999}", "J{\"b\":2}"]);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        assert_eq!(read(&format!("[{deep},{{}}]")), [format!("U{deep}"), "J{}".to_owned()]);
    }

    #[test]
    fn a_body_that_breaks_off_keeps_what_stands_before_the_break() {
        assert_eq!(read(r#"[{"a":1},{"b":"#), ["J{\"a\":1}", "U{\"b\":"]);
        assert_eq!(
            read("[\n{\"a\":1},\n{\"b\",\n{\"c\":3}\n]\n"),
            ["J{\"a\":1}", "U{\"b\",", "J{\"c\":3}"]
        );
        assert_eq!(
            read("{\"a\":1}\n{\n\"b\": [\n{\"c\":3}\n"),
            ["J{\"a\":1}", "U{\n\"b\": [\n{\"c\":3}"]
        );
        assert_eq!(read("[{\"a\":1}"), ["J{\"a\":1}", "U"]);
    }

    #[test]
    fn half_a_character_does_not_cost_the_element() {
        let body = r#"{"path":"C:\\\ud83d\ude00\ud800x\\ud800\udc00"}"#;
        assert_eq!(read(body), ["J{\"path\":\"C:\\\\\\ud83d\\ude00\u{fffd}x\\\\ud800\u{fffd}\"}"]);
        assert_eq!(read("x\n{\"path\":\"\\ud800\"}"), ["Ux", "J{\"path\":\"\u{fffd}\"}"]);
        let elements = decode(b"{\"path\":\"caf\xe9\"}", 1).unwrap();
        assert!(
            matches!(&elements[0], Element::Json { value, .. } if value["path"] == "caf\u{fffd}")
        );
    }

    #[test]
    fn a_body_without_anything_readable_is_refused() {
        for body in ["", "  \n", "\u{feff}"] {
            assert_eq!(decode(body.as_bytes(), 10), Err(DecodeError::Empty), "{body:?}");
        }
        let bomb = "[".repeat(100_000);
        for body in ["not json", "{\"a\":", "{\n\"a\": [\n{\"b\":1}\n", "[", "}", ",", &bomb] {
            let refused = decode(body.as_bytes(), 10);
            assert!(matches!(refused, Err(DecodeError::NotJson { .. })), "{refused:?}");
        }
    }

    #[test]
    fn more_elements_than_allowed_are_refused() {
        let too_many = Err(DecodeError::TooManyElements { max_elements: 2 });
        assert_eq!(decode(b"[{},{}]", 2).map(|elements| elements.len()), Ok(2));
        for body in ["[{},{},{}]", "{}{}{}", "{}\n{}\nx", "{}\nx\n{}"] {
            assert_eq!(decode(body.as_bytes(), 2), too_many, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 5);
        }

        #[test]
        fn no_text_that_looks_like_json_makes_it_panic(
            text in r#"([\[\]{},:"\\\n u0-9a-fD8]|\\u[dD][89cC]00|é|\{\}|\{"a":1\}){0,40}"#
        ) {
            if let Ok(elements) = decode(text.as_bytes(), 20) {
                for element in elements {
                    if let Element::Json { raw, value } = element {
                        prop_assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), value);
                    }
                }
            }
        }
    }
}
