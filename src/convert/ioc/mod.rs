//! IOC rules: their values, and the observables they matched.

mod value;

pub(super) use self::value::IocValue;
use super::{
    draft::Draft,
    file::{SeenFile, file_name},
};
use crate::stix::{
    object::{DomainName, File, IpAddress, Url},
    valid,
};

/// Returns whether the platform holds what this kind of IOC names to be valid for weeks only.
pub(super) fn is_short_lived(kind: &str) -> bool {
    matches!(kind, "ip_src" | "ip_dst" | "ip_both" | "url")
}

/// Adds the observables that the IOC is about, scored, and answers their ids: the files of the
/// alert that match, else the value itself.
pub(super) fn add_matched(
    value: &IocValue,
    files: &[SeenFile],
    score: Option<u8>,
    draft: &mut Draft,
) -> Vec<String> {
    let added = match value {
        IocValue::Hash(..) | IocValue::FileName(_) | IocValue::FilePath(_) => {
            return add_scored(matched_files(value, files), score, draft);
        }
        IocValue::Addresses { .. } => value
            .address()
            .and_then(|value| draft.observable(&IpAddress { value, x_opencti_score: score })),
        IocValue::Domain(name) => valid::domain(name).and_then(|value| {
            let resolves_to_refs = Vec::new();
            draft.observable(&DomainName { value, resolves_to_refs, x_opencti_score: score })
        }),
        IocValue::Url(url) => valid::url(url)
            .and_then(|(value, _)| draft.observable(&Url { value, x_opencti_score: score })),
    };
    added.into_iter().collect()
}

/// Returns the files of the alert that match, else the one that the value itself tells of.
fn matched_files(value: &IocValue, files: &[SeenFile]) -> Vec<File> {
    let name_is = |name: Option<&String>, wanted| name.is_some_and(|name| same_name(name, wanted));
    let is_match = |file: &&SeenFile| match value {
        IocValue::Hash(_, hash) => file.object.hashes.contains(hash),
        IocValue::FileName(name) => name_is(file.object.name.as_ref(), name),
        IocValue::FilePath(path) => name_is(file.path.as_ref(), path),
        _ => false,
    };
    let matched: Vec<File> = files.iter().filter(is_match).map(|it| it.object.clone()).collect();
    if !matched.is_empty() {
        return matched;
    }
    let mut file = File::default();
    match value {
        IocValue::Hash(algorithm, hash) => file.hashes.set(*algorithm, hash.clone()),
        _ => file.name = Some(file_name(&value.text()).to_owned()).filter(|it| !it.is_empty()),
    }
    vec![file]
}

/// Adds files with their score and answers their ids.
pub(super) fn add_scored(files: Vec<File>, score: Option<u8>, draft: &mut Draft) -> Vec<String> {
    let scored = files.into_iter().map(|file| File { x_opencti_score: score, ..file });
    scored.filter_map(|file| draft.observable(&file)).collect()
}

/// Windows compares names without regard to case, and most alerts come from there.
fn same_name(name: &str, value: &str) -> bool {
    name.to_lowercase() == value.to_lowercase()
}
