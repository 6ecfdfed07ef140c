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

use std::borrow::Cow;

pub(super) use self::scanner::is_blank;
use self::scanner::{Scanner, Stop};

/// By how much a text may be longer than its body.
const GROWTH_MAX_BYTES: usize = 64 * 1024;

/// One element of a body, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element<'a> {
    /// A well-formed JSON object, not built yet.
    Json {
        /// Its text as sent. Escapes of half a character stand as U+FFFD in it, so that it can be
        /// parsed by every reader.
        raw: Cow<'a, str>,
    },
    /// Something that is no JSON object.
    Unreadable {
        /// Its text as sent.
        text: Cow<'a, str>,
        /// The reason for which it cannot be read.
        reason: Cow<'static, str>,
    },
}

/// The reason for which a body was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is empty.
    #[error("the body is empty; send a JSON object, an array of objects or NDJSON")]
    Empty,
    /// Nothing in the body is JSON.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// The message of the JSON reader, with the place.
        reason: String,
    },
    /// There are more elements than one body may have.
    #[error("the body has more than {max_elements} elements; send fewer at once")]
    TooManyElements {
        /// The bound.
        max_elements: usize,
    },
}

/// The text of a body. Bytes that are not UTF-8 stand as U+FFFD in it, or as `?` when there are so many
/// of them that the text would grow by more than `GROWTH_MAX_BYTES`.
pub fn text_of(body: &[u8]) -> Cow<'_, str> {
    let broken = body.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    if broken * char::REPLACEMENT_CHARACTER.len_utf8() <= GROWTH_MAX_BYTES {
        return String::from_utf8_lossy(body);
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    Cow::Owned(text)
}

/// Splits the text of a body into at most `max_elements` elements, in the order in which they stand.
///
/// An empty array is a body without elements, not an error. A well-formed value that is no object is
/// an unreadable element; a body that breaks off keeps the elements before the break and has the rest
/// as an unreadable one.
pub fn decode(text: &str, max_elements: usize) -> Result<Vec<Element<'_>>, DecodeError> {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
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
            let readable = |element: &Element<'_>| matches!(element, Element::Json { .. });
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
    use crate::alert::element;

    /// `J` and the raw text, or `U` and the text, of each element.
    fn read(body: &str) -> Vec<String> {
        let elements = decode(body, 100).unwrap();
        let show = |element| match element {
            Element::Json { raw } => {
                element::check(&raw).unwrap();
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
        assert_eq!(
            read("{\"a\":1}\n\u{feff}{\"b\":2}\0\n\0"),
            ["J{\"a\":1}", "J{\"b\":2}"],
            "marks of UTF-8 and NULs between elements"
        );
        assert_eq!(read("\u{feff}\n\u{feff}[{}]\0"), ["J{}"]);
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
        assert_eq!(read("{\"a\":1e999}{\"b\":2}"), ["J{\"a\":1e999}", "J{\"b\":2}"]);
        for (levels, mark) in [(500, 'J'), (200_000, 'U')] {
            let deep = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
            let expected = [format!("{mark}{deep}"), "J{}".to_owned()];
            assert_eq!(read(&format!("[{deep},{{}}]")), expected, "{levels}");
        }
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
        assert_eq!(read(&text_of(b"{\"path\":\"caf\xe9\"}")), ["J{\"path\":\"caf\u{fffd}\"}"]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_make_a_body_grow() {
        let body = [b"{\"a\":\"".as_slice(), &vec![0xff; 1_000_000], b"\"}"].concat();
        let text = text_of(&body);
        assert_eq!(text.len(), body.len());
        assert!(matches!(decode(&text, 1).unwrap()[..], [Element::Json { .. }]));
    }

    #[test]
    fn a_body_without_anything_readable_is_refused() {
        for body in ["", "  \n", "\u{feff}"] {
            assert_eq!(decode(body, 10), Err(DecodeError::Empty), "{body:?}");
        }
        let bomb = "[".repeat(100_000);
        for body in ["not json", "{\"a\":", "{\n\"a\": [\n{\"b\":1}\n", "[", "}", ",", &bomb] {
            let refused = decode(body, 10);
            assert!(matches!(refused, Err(DecodeError::NotJson { .. })), "{refused:?}");
        }
    }

    #[test]
    fn more_elements_than_allowed_are_refused() {
        let too_many = Err(DecodeError::TooManyElements { max_elements: 2 });
        assert_eq!(decode("[{},{}]", 2).map(|elements| elements.len()), Ok(2));
        for body in ["[{},{},{}]", "{}{}{}", "{}\n{}\nx", "{}\nx\n{}"] {
            assert_eq!(decode(body, 2), too_many, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&text_of(&bytes), 5);
        }

        #[test]
        fn no_text_that_looks_like_json_makes_it_panic(
            text in r#"([\[\]{},:"\\\n u0-9a-fD8]|\\u[dD][89cC]00|é|\{\}|\{"a":1\}){0,40}"#
        ) {
            for element in decode(&text, 20).unwrap_or_default() {
                if let Element::Json { raw } = element {
                    // Whatever else reads the text can.
                    let whole = serde_json::from_str::<serde_json::Value>(&raw);
                    prop_assert!(whole.is_ok_and(|value| value.is_object()), "{}", raw);
                }
            }
        }
    }
}
