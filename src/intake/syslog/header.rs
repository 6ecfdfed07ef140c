//! The text before the JSON: the header of RFC 5424 with its structured data, or that of RFC 3164.
//!
//! Of RFC 5424 every field is found and none but the structured data is looked at: the token is in
//! there. RFC 3164 has no structured data, and what senders put before the message is so varied that
//! only its `<PRI>` is asked for: the message is what begins at the first brace.
//!
//! Our own parser, because the token decides who may reach the journal: the crates for it guess
//! where a header is broken, and take text only, while a path in an alert need not be UTF-8.
//!
//! Does not live here: whether the token is right (`verification`), what the JSON says (`decode`).

use std::borrow::Cow;

/// The mark of JSON that some relays put before it.
pub(crate) const JSON_MARK: &str = "@cee:";
/// Fields between version and structured data: date, host, application, process, message id.
const FIELDS: usize = 5;
/// Greatest priority: facility 23, severity 7.
const PRIORITY_MAX: u16 = 191;

/// One message in its parts, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The elements of the structured data with their brackets; empty when there are none.
    structured_data: &'a [u8],
    body: &'a [u8],
}

/// A fault of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin as every message of syslog does.
    #[error("a message does not begin with <priority>, as RFC 5424 and RFC 3164 want it")]
    Priority,
    /// A field between version and structured data is missing.
    #[error("a header of RFC 5424 has too few fields")]
    Fields,
    /// The structured data is not closed, not quoted, or followed by no space.
    #[error(
        "the structured data of a message cannot be read; enter it with its brackets and quotes, \
         as in [id@32473 name=\"value\"], and the application's name without spaces"
    )]
    StructuredData,
}

impl<'a> Message<'a> {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// [`HeaderError`]: it is no message of syslog.
    pub fn parse(frame: &'a [u8]) -> Result<Self, HeaderError> {
        let rest = after_priority(frame)?;
        let Some(mut rest) = after_version(rest) else {
            let begin = rest.iter().position(|byte| *byte == b'{').unwrap_or(0);
            return Ok(Self { structured_data: &[], body: &rest[begin..] });
        };
        for _field in 0..FIELDS {
            let end = rest.iter().position(|byte| *byte == b' ').filter(|end| *end > 0);
            rest = &rest[end.ok_or(HeaderError::Fields)? + 1..];
        }
        let (structured_data, rest) = if let Some(rest) = rest.strip_prefix(b"-") {
            (&rest[..0], rest)
        } else {
            let end = walk(rest, |_id, _name, _value| {})?;
            rest.split_at(end)
        };
        let body = match rest.split_first() {
            None => rest,
            Some((b' ', body)) => body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body),
            Some(_) => return Err(HeaderError::StructuredData),
        };
        let body = body.trim_ascii_start().strip_prefix(JSON_MARK.as_bytes()).unwrap_or(body);
        Ok(Self { structured_data, body })
    }

    /// Returns what follows the header, without the mark of UTF-8 that may stand before it.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The values of the parameter `name` in the structured data's element `id`, with their escapes
    /// undone, given to `seen` in the order in which they stand.
    pub fn each_value(&self, id: &str, name: &str, mut seen: impl FnMut(Cow<'a, [u8]>)) {
        if self.structured_data.is_empty() {
            return;
        }
        // It was walked to its end when the message was taken apart.
        let _walked = walk(self.structured_data, |of, called, value| {
            if of == id.as_bytes() && called == name.as_bytes() {
                seen(unescaped(value));
            }
        });
    }
}

fn after_priority(frame: &[u8]) -> Result<&[u8], HeaderError> {
    let rest = frame.strip_prefix(b"<").ok_or(HeaderError::Priority)?;
    let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
    let is_priority = number.is_some_and(|number: u16| number <= PRIORITY_MAX);
    if !is_priority || digits > 3 || rest.get(digits) != Some(&b'>') {
        return Err(HeaderError::Priority);
    }
    Ok(&rest[digits + 1..])
}

/// Returns what follows the version that RFC 5424 puts behind the priority; `None`: there is none.
fn after_version(rest: &[u8]) -> Option<&[u8]> {
    let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let is_version = digits > 0 && rest[0] != b'0' && rest.get(digits) == Some(&b' ');
    is_version.then(|| &rest[digits + 1..])
}

/// Walks the elements at the front of `text`, shows each parameter with its element's id, and answers
/// where the last element ends.
///
/// Some senders put blanks between elements. What stands behind a blank is one more element if it can be
/// read as one and has a parameter; else it is the message.
fn walk<'a>(
    text: &'a [u8],
    mut show: impl FnMut(&'a [u8], &'a [u8], &'a [u8]),
) -> Result<usize, HeaderError> {
    let mut at = walk_element(text, 0, &mut show)?.end;
    loop {
        let blanks = text[at..].iter().take_while(|byte| **byte == b' ').count();
        if text.get(at + blanks) != Some(&b'[') {
            return Ok(at);
        }
        if blanks == 0 {
            at = walk_element(text, at, &mut show)?.end;
            continue;
        }
        match walk_element(text, at + blanks, &mut |_id, _name, _value| {}) {
            Ok(element) if element.has_parameter => {
                at = walk_element(text, at + blanks, &mut show)?.end;
            }
            Ok(_) | Err(_) => return Ok(at),
        }
    }
}

/// An element that was walked.
struct Walked {
    end: usize,
    has_parameter: bool,
}

/// Walks the element that begins at `at`.
fn walk_element<'a>(
    text: &'a [u8],
    mut at: usize,
    show: &mut impl FnMut(&'a [u8], &'a [u8], &'a [u8]),
) -> Result<Walked, HeaderError> {
    if text.get(at) != Some(&b'[') {
        return Err(HeaderError::StructuredData);
    }
    let id_end = name_end(text, at + 1)?;
    let id = &text[at + 1..id_end];
    at = id_end;
    while text.get(at) == Some(&b' ') {
        let name_end = name_end(text, at + 1)?;
        if text.get(name_end..name_end + 2) != Some(b"=\"") {
            return Err(HeaderError::StructuredData);
        }
        let value_end = value_end(text, name_end + 2)?;
        show(id, &text[at + 1..name_end], &text[name_end + 2..value_end]);
        at = value_end + 1;
    }
    if text.get(at) != Some(&b']') {
        return Err(HeaderError::StructuredData);
    }
    Ok(Walked { end: at + 1, has_parameter: at > id_end })
}

/// Returns the end of the name that begins at `begin`.
fn name_end(text: &[u8], begin: usize) -> Result<usize, HeaderError> {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    let length = text[begin..].iter().take_while(|byte| is_name(byte)).count();
    if length == 0 { Err(HeaderError::StructuredData) } else { Ok(begin + length) }
}

/// Returns the position of the quote that ends the value that begins at `begin`. A bracket in it should be
/// escaped
/// and often is not; the quotes tell its end all the same.
fn value_end(text: &[u8], begin: usize) -> Result<usize, HeaderError> {
    let mut at = begin;
    loop {
        match text.get(at).ok_or(HeaderError::StructuredData)? {
            b'"' => return Ok(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The value that stands for `"`, `\` and `]` behind a backslash; another backslash is one.
fn unescaped(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'\\').then(|| bytes.next_if(|next| b"\"\\]".contains(next)));
        plain.push(escaped.flatten().unwrap_or(byte));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(frame: &str) -> Result<String, HeaderError> {
        let message = Message::parse(frame.as_bytes())?;
        Ok(String::from_utf8_lossy(message.body()).into_owned())
    }

    fn tokens(frame: &str) -> Vec<String> {
        let mut found = Vec::new();
        let message = Message::parse(frame.as_bytes()).unwrap();
        message.each_value("harfanglab@32473", "token", |value| {
            found.push(String::from_utf8_lossy(&value).into_owned());
        });
        found
    }

    #[test]
    fn the_message_of_either_header_is_found() {
        for (frame, expected) in [
            ("<14>1 2026-05-26T07:39:58.447Z edr app 1 id - {\"a\":1}", "{\"a\":1}"),
            ("<14>1 - - - - - - \u{feff}{}", "{}"),
            ("<14>1 - - - - - [a@1][b@1 c=\"]\"] {}", "{}"),
            ("<14>1 - - - - - [a@1] [b@1 c=\"]\"]  [d@1 e=\"\"] {}", "{}"),
            ("<14>1 - - - - - [a@1] [{\"a\":\"] \"}]", "[{\"a\":\"] \"}]"),
            ("<14>1 - - - - - [a@1] [b@1] {}", "[b@1] {}"),
            ("<14>1 - - - - - - @cee: {}", " {}"),
            ("<14>1 - - - - - - @cee:{}", "{}"),
            ("<14>1 - - - - - -", ""),
            ("<191>2 - - - - - - x", "x"),
            ("<13>May 26 07:39:58 edr app[1]: {\"a\":1}", "{\"a\":1}"),
            ("<13>2026-05-26T07:39:58+00:00 edr app {\"a\":1}", "{\"a\":1}"),
            ("<0>{}", "{}"),
            ("<13>May  6 07:39:58 edr no json", "May  6 07:39:58 edr no json"),
        ] {
            assert_eq!(body(frame).as_deref(), Ok(expected), "{frame}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (frame, error) in [
            ("{}", HeaderError::Priority),
            ("", HeaderError::Priority),
            ("<192>1 - - - - - - {}", HeaderError::Priority),
            ("<>1 - - - - - - {}", HeaderError::Priority),
            ("<0014>1 - - - - - - {}", HeaderError::Priority),
            ("<14>1 - - - - -", HeaderError::Fields),
            ("<14>1 -  - - - - - {}", HeaderError::Fields),
            ("<14>1 - - - - - -{}", HeaderError::StructuredData),
            ("<14>1 - - - - - token=\"x\" {}", HeaderError::StructuredData),
            ("<14>1 - - - - - [a@1 b=\"x] {}", HeaderError::StructuredData),
            ("<14>1 - - - - - [a@1 b=\"x\"", HeaderError::StructuredData),
            ("<14>1 - - - - - [a@1 b=x] {}", HeaderError::StructuredData),
            ("<14>1 - - - - - [] {}", HeaderError::StructuredData),
            ("<14>1 - - - - - [a@1 b=\"x\"]{}", HeaderError::StructuredData),
            ("<14>1 - - - - - [a@1 b=\"x\\", HeaderError::StructuredData),
        ] {
            assert_eq!(body(frame), Err(error), "{frame}");
        }
    }

    #[test]
    fn a_parameter_is_found_by_element_and_name_with_its_escapes_undone() {
        let message = |data: &str| format!("<14>1 - - - - - {data} {{\"token\":\"no\"}}");
        let all = r#"[x@1 token="no"][harfanglab@32473 other="no" token="a\"b\\c\]d\e"]"#;
        assert_eq!(tokens(&message(all)), [r#"a"b\c]d\e"#]);
        let parted = r#"[x@1 token="no"] [harfanglab@32473 token="a"] [y@1 b=""]"#;
        assert_eq!(tokens(&message(parted)), ["a"]);
        let twice = r#"[harfanglab@32473 token="a"][harfanglab@32473 token="b"]"#;
        assert_eq!(tokens(&message(twice)), ["a", "b"]);
        assert_eq!(tokens(&message("-")), [""; 0]);
        assert_eq!(tokens("<13>May 26 07:39:58 h a [harfanglab@32473 token=\"a\"] {}"), [""; 0]);
    }

    proptest! {
        #![proptest_config(super::super::cases())]

        #[test]
        fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&frame);
        }

        #[test]
        fn no_text_that_looks_like_a_header_makes_it_panic(
            frame in r#"<1[0-9]{0,2}>(1 )?(- ){0,6}([\[\]"\\= a@]|a@1|b="c"){0,30}"#
        ) {
            if let Ok(message) = Message::parse(frame.as_bytes()) {
                message.each_value("a@1", "b", |_value| {});
            }
        }

        #[test]
        fn every_value_comes_out_as_it_went_in(value in "[ -~é]{0,40}", body in "[ -~]{0,20}") {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace(']', r"\]");
            let frame =
                format!("<14>1 - - - - - [x@1][harfanglab@32473 a=\"\" token=\"{escaped}\"] {body}");
            prop_assert_eq!(tokens(&frame), [value]);
            prop_assert_eq!(super::Message::parse(frame.as_bytes()).unwrap().body(), body.as_bytes());
        }
    }
}
