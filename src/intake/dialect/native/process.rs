//! The process of a native alert: its `process` block or, in trimmed bodies and network alerts,
//! the few fields of it that stand at the top level.

use serde_json::Value;

use crate::{
    alert::{
        ParentProcess, Process,
        lenient::{
            at, identifier_at, integer_at, object_at, text_at, texts_at, unsigned_at, word_at,
        },
    },
    intake::dialect::{binary, dates::Dates, file_name, hashes_at},
};

/// Subtypes whose top-level `image_name` is the process's image; elsewhere it can be the words of an
/// event log.
const PROCESS_SUBTYPES: [&str; 2] = ["process", "network"];

/// The process the alert is about, when anything of it is known.
pub(super) fn read(element: &Value, dates: &mut Dates<'_>) -> Option<Process> {
    block(element, dates).or_else(|| top_level(element))
}

fn block(element: &Value, dates: &mut Dates<'_>) -> Option<Process> {
    let block = object_at(element, "process")?;
    let image_path = text_at(block, "image_name");
    let process = Process {
        pid: integer_at(block, "pid"),
        name: text_at(block, "process_name").or_else(|| file_name(image_path.as_deref()?)),
        image_path,
        command_line: text_at(block, "commandline"),
        current_directory: text_at(block, "current_directory"),
        created: dates.first(&["process.create_time"]),
        hashes: hashes_at(block, "hashes"),
        size_bytes: unsigned_at(block, "size"),
        binary: binary::native(block, ""),
        username: identifier_at(block, "username"),
        user_sid: identifier_at(block, "usersid"),
        integrity_level: text_at(block, "integrity_level"),
        unique_id: identifier_at(block, "process_unique_id"),
        parent: ancestor(block, "parent", Some("ppid")),
        grandparent: ancestor(block, "grandparent", None),
        ancestors: ancestors(block),
    };
    (process != Process::default()).then_some(process)
}

fn ancestor(block: &Value, who: &str, pid: Option<&str>) -> Option<ParentProcess> {
    let field = |name: &str| format!("{who}_{name}");
    let ancestor = ParentProcess {
        pid: pid.and_then(|path| integer_at(block, path)),
        image_path: text_at(block, &field("image")),
        command_line: text_at(block, &field("commandline")),
        integrity_level: text_at(block, &field("integrity_level")),
        unique_id: identifier_at(block, &field("unique_id")),
    };
    (ancestor != ParentProcess::default()).then_some(ancestor)
}

/// `ancestors` is one text, its paths parted by a bar, which no path has.
fn ancestors(block: &Value) -> Vec<String> {
    texts_at(block, "ancestors")
        .iter()
        .flat_map(|text| text.split('|'))
        .map(str::trim)
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

fn top_level(element: &Value) -> Option<Process> {
    let subtype = word_at(element, "alert_subtype");
    let about_process = subtype.is_none_or(|it| PROCESS_SUBTYPES.contains(&it.as_str()));
    let identified = ["pid", "process_unique_id"].iter().any(|path| at(element, path).is_some());
    if !about_process && !identified {
        return None;
    }
    // In an alert about a driver it is the driver's, whatever the subtype.
    let is_about_driver = object_at(element, "driverload").is_some()
        || word_at(element, "alert_type").as_deref() == Some("driver");
    let image_path = text_at(element, "image_name").filter(|_| !is_about_driver);
    let process = Process {
        pid: integer_at(element, "pid"),
        name: image_path.as_deref().and_then(file_name),
        image_path,
        username: identifier_at(element, "username"),
        unique_id: identifier_at(element, "process_unique_id"),
        ..Process::default()
    };
    (process != Process::default()).then_some(process)
}
