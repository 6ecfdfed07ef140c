//! Files of an alert, and the directories they lie in. One file that several blocks of an alert
//! mention (process image, driver, detection) becomes one object with everything known of it.

use super::{common, draft::Draft};
use crate::{
    alert::{Alert, Hashes},
    stix::{
        clean,
        object::{Directory, File, FileHashes},
        valid,
    },
};

/// A file as the alert shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeenFile {
    /// Id, once it is in the draft.
    pub(super) id: String,
    /// Roles in the alert: `image`, `detected`, `driver`, ….
    pub(super) roles: Vec<&'static str>,
    /// Full path, when one is known.
    pub(super) path: Option<String>,
    /// The object.
    pub(super) object: File,
}

/// Adds all files of the alert with their directories.
pub(super) fn add_files(alert: &Alert, draft: &mut Draft) -> Vec<SeenFile> {
    let mut files: Vec<SeenFile> = Vec::new();
    for file in mentioned(alert, draft) {
        match files.iter_mut().find(|known| is_same(known, &file)) {
            Some(known) => complete(known, file),
            None => files.push(file),
        }
    }
    files.retain_mut(|file| match draft.observable(&file.object) {
        Some(id) => {
            let role = file.roles.first().map_or("File", |role| described(role));
            let name = file.object.name.as_deref().unwrap_or_default();
            draft.relate_to_incident(&id, role, name);
            // A name alone is one file for all hosts that have one of this name.
            if file.object.hashes.is_empty() || is_own_image_of_system(file, alert) {
                draft.keep_out_of_cases(&id);
            }
            file.id = id;
            true
        }
        None => false,
    });
    for file in files.iter().filter(|file| file.is_what_the_rule_is_about()) {
        if let Some((folder, _)) = file.path.as_deref().and_then(split_path)
            && !common::is_common_folder(&folder)
        {
            let folder = Directory { path: folder, contains_refs: vec![file.id.clone()] };
            if let Some(id) = draft.observable(&folder) {
                draft.keep_out_of_cases(&id);
            }
        }
    }
    files
}

impl SeenFile {
    fn is_what_the_rule_is_about(&self) -> bool {
        self.roles.iter().any(|role| *role != "image")
    }
}

/// Returns whether a file is an image that the operating system brings along, and nothing else.
fn is_own_image_of_system(file: &SeenFile, alert: &Alert) -> bool {
    let process = alert.process.as_ref();
    // Programs of Linux carry no signature.
    let is_unsigned = process.is_some_and(|process| process.binary.signed == Some(false))
        && alert.agent.os_type.as_deref() != Some("linux");
    let is_system_path = file.path.as_deref().is_some_and(common::is_system_program);
    is_system_path && !is_unsigned && !file.is_what_the_rule_is_about()
}

/// Names what a file of this role is to the incident.
fn described(role: &str) -> &'static str {
    match role {
        "detected" => "Detected file",
        "image" => "Image of the process",
        "driver" => "Loaded driver",
        "library" => "Loaded library",
        "script" => "Script that ran",
        "target" => "File that was written, changed or deleted",
        "scanned" => "Scanned file",
        _ => "File",
    }
}

fn mentioned(alert: &Alert, draft: &mut Draft) -> Vec<SeenFile> {
    let detection = (&alert.detection_path, &alert.detection_hashes);
    let mut files = vec![seen("detected", detection.0.as_deref(), None, detection.1, None, draft)];
    if let Some(process) = &alert.process {
        let (path, name) = (process.image_path.as_deref(), process.name.as_deref());
        files.push(seen("image", path, name, &process.hashes, process.size_bytes, draft));
    }
    if let Some(driver) = &alert.driver {
        let (path, name) = (driver.path.as_deref(), driver.name.as_deref());
        files.push(seen("driver", path, name, &driver.hashes, driver.size_bytes, draft));
    }
    for file in &alert.files {
        files.push(seen(
            file.role,
            file.path.as_deref(),
            None,
            &file.hashes,
            file.size_bytes,
            draft,
        ));
    }
    files.retain(|file| file.object.name.is_some() || !file.object.hashes.is_empty());
    files
}

fn seen(
    role: &'static str,
    path: Option<&str>,
    name: Option<&str>,
    hashes: &Hashes,
    size: Option<u64>,
    draft: &mut Draft,
) -> SeenFile {
    let path = path.map(clean::line).filter(|path| !path.is_empty());
    let own_name = path.as_deref().map(file_name).filter(|name| !name.is_empty());
    let name = own_name.map(str::to_owned).or_else(|| name.map(clean::line));
    let object = File {
        name: name.filter(|name| !name.is_empty()),
        hashes: checked_hashes(hashes, draft),
        size,
        x_opencti_score: None,
    };
    SeenFile { id: String::new(), roles: vec![role], path, object }
}

/// The well-formed hashes, each filed under the algorithm its length tells.
fn checked_hashes(hashes: &Hashes, draft: &mut Draft) -> FileHashes {
    let mut checked = FileHashes::default();
    for text in [&hashes.md5, &hashes.sha1, &hashes.sha256, &hashes.sha512].into_iter().flatten() {
        match valid::hash(text) {
            Some((algorithm, hash)) => checked.set(algorithm, hash),
            None if text.trim().is_empty() => {}
            None => draft.leave_out(
                "hash",
                format!("{text} is no MD5, SHA-1, SHA-256 or SHA-512; the file is sent without it"),
            ),
        }
    }
    checked
}

fn is_same(known: &SeenFile, file: &SeenFile) -> bool {
    let pairs = |pick: fn(&FileHashes) -> &Option<String>| {
        pick(&known.object.hashes).as_ref().zip(pick(&file.object.hashes).as_ref())
    };
    let compared: Vec<bool> = [
        pairs(|hashes| &hashes.md5),
        pairs(|hashes| &hashes.sha1),
        pairs(|hashes| &hashes.sha256),
        pairs(|hashes| &hashes.sha512),
    ]
    .into_iter()
    .flatten()
    .map(|(left, right)| left == right)
    .collect();
    if compared.is_empty() {
        known.path.is_some() && known.path == file.path
    } else {
        !compared.contains(&false)
    }
}

fn complete(known: &mut SeenFile, file: SeenFile) {
    let (hashes, more) = (&mut known.object.hashes, file.object.hashes);
    hashes.md5 = hashes.md5.take().or(more.md5);
    hashes.sha1 = hashes.sha1.take().or(more.sha1);
    hashes.sha256 = hashes.sha256.take().or(more.sha256);
    hashes.sha512 = hashes.sha512.take().or(more.sha512);
    known.object.name = known.object.name.take().or(file.object.name);
    known.object.size = known.object.size.or(file.object.size);
    known.path = known.path.take().or(file.path);
    known.roles.extend(file.roles);
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(separator(path)).next().unwrap_or(path)
}

/// Folder (without a separator at its end, but for a root) and file name of a path that has both.
pub(super) fn split_path(path: &str) -> Option<(String, &str)> {
    let (folder, name) = path.rsplit_once(separator(path))?;
    (!name.is_empty()).then(|| (directory_path(&path[..=folder.len()]), name))
}

/// A directory without separators at its end; a root keeps its own (`C:\`, `/`).
pub(super) fn directory_path(path: &str) -> String {
    let separator = separator(path);
    let trimmed = path.trim_end_matches(separator);
    if trimmed.is_empty() || trimmed.ends_with(':') {
        format!("{trimmed}{separator}")
    } else {
        trimmed.to_owned()
    }
}

/// Linux and macOS paths begin with `/` and may hold a backslash in a name.
fn separator(path: &str) -> char {
    if path.contains('\\') && !path.starts_with('/') { '\\' } else { '/' }
}
