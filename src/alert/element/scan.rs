//! Walks through JSON text that is known to be well-formed, without building anything: every part of
//! it is a slice of the text.

/// A position in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Moves past `mark` and the white space before it when it stands here.
    fn take(&mut self, mark: u8) -> bool {
        self.skip_white_space();
        let found = self.peek() == Some(mark);
        self.at += usize::from(found);
        found
    }

    /// Moves past the string that begins here.
    fn pass_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Moves past the object or array that begins here; tells how deep it is nested, if it is closed.
    fn pass_container(&mut self) -> Option<usize> {
        let (mut depth, mut deepest) = (0_usize, 0);
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.pass_string();
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(deepest);
            }
        }
        None
    }

    /// The value that begins here, as its text; the cursor moves behind it.
    pub(super) fn value(&mut self) -> &'a str {
        self.skip_white_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.pass_string(),
            Some(b'{' | b'[') => {
                self.pass_container();
            }
            _ => {
                let ends = |byte: u8| matches!(byte, b',' | b']' | b'}' | b':');
                let is_inside = |byte: u8| !ends(byte) && !byte.is_ascii_whitespace();
                while self.peek().is_some_and(is_inside) {
                    self.at += 1;
                }
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// Name (with its quotes) and value of each field of an object's text, in their order; nothing for
/// what is no object.
pub(super) fn fields(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut cursor = Cursor::of(object);
    let mut is_open = cursor.take(b'{') && !cursor.take(b'}');
    std::iter::from_fn(move || {
        if !is_open {
            return None;
        }
        let name = cursor.value();
        let has_value = cursor.take(b':');
        let value = cursor.value();
        is_open = cursor.take(b',');
        (has_value && name.starts_with('"') && !value.is_empty()).then_some((name, value))
    })
}

/// Each item of an array's text; nothing for what is no array.
pub(super) fn items(array: &str) -> impl Iterator<Item = &str> {
    let mut cursor = Cursor::of(array);
    let mut is_open = cursor.take(b'[') && !cursor.take(b']');
    std::iter::from_fn(move || {
        if !is_open {
            return None;
        }
        let item = cursor.value();
        is_open = cursor.take(b',');
        (!item.is_empty()).then_some(item)
    })
}

/// The object or array that `text` begins with, and how deep it is nested; `None` for another value
/// and for what is not closed.
pub(super) fn container(text: &str) -> Option<(&str, usize)> {
    let mut cursor = Cursor::of(text);
    let depth = matches!(cursor.peek(), Some(b'{' | b'[')).then(|| cursor.pass_container())??;
    Some((text.get(..cursor.at)?, depth))
}

/// At least as many as a text has values, names of fields among them.
pub(super) fn values_at_most(text: &str) -> usize {
    let mut cursor = Cursor::of(text);
    let mut values = 1;
    while let Some(byte) = cursor.peek() {
        if byte == b'"' {
            cursor.pass_string();
        } else {
            values += usize::from(matches!(byte, b'{' | b'[' | b',' | b':'));
            cursor.at += 1;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_items_are_slices_of_the_text() {
        let text = r#" { "a" : [1, {"b":"}]"}] ,"\"c":"x\\" , "":-1e400 } "#;
        let found: Vec<_> = fields(text).collect();
        assert_eq!(
            found,
            [("\"a\"", r#"[1, {"b":"}]"}]"#), (r#""\"c""#, r#""x\\""#), ("\"\"", "-1e400")]
        );
        assert_eq!(items(found[0].1).collect::<Vec<_>>(), ["1", r#"{"b":"}]"}"#]);
        for empty in ["{}", "[]", " { } ", "7", "\"x\"", "null", ""] {
            assert_eq!((fields(empty).count(), items(empty).count()), (0, 0), "{empty}");
        }
    }

    #[test]
    fn depth_and_values_are_counted_outside_strings() {
        let text = r#"{"a":[[1]],"b":"[[[["}"#;
        assert_eq!(container(&format!("{text},{{}}")), Some((text, 3)));
        assert_eq!((container("[[["), container("7"), container("")), (None, None, None));
        assert_eq!(values_at_most(r#""a,b:c""#), 1);
        assert!(values_at_most(r#"{"a":[1,2,{}]}"#) >= 6);
    }

    #[test]
    fn broken_text_ends_the_walk() {
        for text in ["{\"a", "{\"a\\", "[1,", "{\"a\":[", "{,}", "[,]", "{\"a\" 1}", "[\"\\u00e"] {
            let _walked = (fields(text).count(), items(text).count(), container(text));
        }
    }
}
