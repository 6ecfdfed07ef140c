//! Reads `config.yml`.
//!
//! Every scalar keeps the spelling it has in the file, so that a password of digits or a version such as
//! `1.10` is not changed by being read as a number. Errors name a place in the file and never quote it: the
//! line may hold a secret.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{
    fault::Fault,
    file::{ConfigFile, Document, Entry, Section},
    option::CONSOLES,
    options,
};

/// Reads `path`; `None` reads nothing.
pub(super) fn read(path: Option<&Path>) -> Result<ConfigFile, Fault> {
    let Some(path) = path else {
        return Ok(ConfigFile::default());
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = format!("cannot be read ({error})");
        let remedy = "give a readable file by --config or HARFANGLAB_INCIDENTS_CONFIG, or \
            leave both out and use environment variables";
        Fault::about(path.display().to_string(), problem, remedy)
    })?;
    let document = parse(&text).map_err(|place| {
        let remedy = "write sections of `key: value` lines, each key once, texts with special \
            characters in quotes; only lists of options that take several values, and \
            `consoles:` as a list of such sections";
        Fault::about(path.display().to_string(), format!("is not readable{place}"), remedy)
    })?;
    Ok(ConfigFile { path: path.to_owned(), document })
}

fn parse(text: &str) -> Result<Document, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Document>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| match error.location() {
            Some(place) => format!(" at line {}, column {}", place.line(), place.column()),
            None => String::new(),
        })
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sections, each with its name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == CONSOLES {
                document.consoles = map.next_value::<Option<Vec<Section>>>()?.unwrap_or_default();
            } else {
                let section = map.next_value::<Option<Section>>()?.unwrap_or_default();
                document.sections.insert(name, section);
            }
        }
        Ok(document)
    }
}

impl<'de> Deserialize<'de> for Section {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor)
    }
}

struct SectionVisitor;

impl<'de> Visitor<'de> for SectionVisitor {
    type Value = Section;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a section of keys and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            // The option decides what is asked of the parser: text keeps its spelling.
            let takes_list =
                options::all().any(|option| option.key == key && option.kind.is_list());
            let entry = if takes_list {
                map.next_value::<Option<TextOrList>>()?.map(|entry| entry.0)
            } else {
                map.next_value::<Option<String>>()?.map(Entry::Text)
            };
            entries.insert(key, entry);
        }
        Ok(Section(entries))
    }
}

struct TextOrList(Entry);

impl<'de> Deserialize<'de> for TextOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrListVisitor)
    }
}

struct TextOrListVisitor;

impl<'de> Visitor<'de> for TextOrListVisitor {
    type Value = TextOrList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TextOrList, E> {
        Ok(TextOrList(Entry::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TextOrList, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<String>()? {
            list.push(item);
        }
        Ok(TextOrList(Entry::List(list)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn read(text: &str) -> Result<ConfigFile, String> {
        parse(text).map(|document| ConfigFile { path: PathBuf::new(), document })
    }

    #[test]
    fn scalars_keep_their_spelling_and_lists_are_lists() {
        let file = read(
            "mq:\n  pass: 0012\n  port: 5672\n  vhost:\nconnector:\n  scope: [a, 1.10]\n\
             harfanglab_incidents:\n  alert_types: yara, sigma\n  import_threats: yes\n",
        )
        .unwrap();
        let text = |text: &str| Some(Entry::Text(text.to_owned()));
        let get = |section: &str, key: &str| file.section(section)?.get(key);
        assert_eq!(get("mq", "pass").cloned(), text("0012"));
        assert_eq!(get("mq", "port").cloned(), text("5672"));
        assert_eq!(get("mq", "vhost"), None);
        assert_eq!(get("harfanglab_incidents", "alert_types").cloned(), text("yara, sigma"));
        assert_eq!(get("harfanglab_incidents", "import_threats").cloned(), text("yes"));
        let list = Entry::List(vec!["a".to_owned(), "1.10".to_owned()]);
        assert_eq!(get("connector", "scope"), Some(&list));
        assert!(read("").unwrap().sections().next().is_none());
        assert!(read("mq:\n").unwrap().keys("mq").next().is_none());
        let file = read("consoles:\n- name: a\n  alert_types: [x]\n- name: 007\n").unwrap();
        let names: Vec<_> = file.consoles().iter().map(|console| console.get("name")).collect();
        assert_eq!(names, [text("a").as_ref(), text("007").as_ref()]);
    }

    #[test]
    fn an_unreadable_file_is_placed_but_never_quoted() {
        for text in
            ["opencti:\n  token: s3cret: b\n", "opencti: s3cret", "opencti:\n  url: [s3cret]"]
        {
            let place = read(text).unwrap_err();
            assert!(place.contains("line") && !place.contains("s3cret"), "{place}");
        }
    }
}
