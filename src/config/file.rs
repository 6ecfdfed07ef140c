//! `config.yml` as text by section and key, and by console and key.
//!
//! Does not live here: reading the file (`file_parser`), the meaning of a value (`reader`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The sections that were read. Empty when there is no file.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) document: Document,
}

/// The content of the file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) sections: BTreeMap<String, Section>,
    /// `consoles:`, in their order.
    pub(super) consoles: Vec<Section>,
}

/// The entry of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A scalar.
    Text(String),
    /// A list of scalars.
    List(Vec<String>),
}

impl ConfigFile {
    /// The path that it was read from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its sections.
    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.document.sections.keys().map(String::as_str)
    }

    /// The keys of a section.
    pub(super) fn keys(&self, section: &str) -> impl Iterator<Item = &str> {
        self.document.sections.get(section).into_iter().flat_map(Section::keys)
    }

    /// A section, if it is there.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.document.sections.get(name)
    }

    /// The entries of `consoles:`; none when one console is configured by the section.
    pub(super) fn consoles(&self) -> &[Section] {
        &self.document.consoles
    }
}

/// Names an entry of `consoles:`: by its name, else by its number from 1.
pub(super) fn console_name(position: usize, console: &Section) -> String {
    match console.get("name") {
        Some(Entry::Text(name)) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => (position + 1).to_string(),
    }
}

/// One section: keys with their entries, `None` where the file says null.
#[derive(Debug, Default)]
pub(super) struct Section(pub(super) BTreeMap<String, Option<Entry>>);

impl Section {
    /// Its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The entry of a key, unless it has none.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)?.as_ref()
    }
}
