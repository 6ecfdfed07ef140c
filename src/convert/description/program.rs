//! Rows on programs: the process with its ancestors, and who vouches for the files.

use super::Table;
use crate::alert::{Alert, Binary, ParentProcess};

/// Marks the rows of the process that are shown in full.
pub(super) struct Whole {
    image: bool,
    command_line: bool,
    parent: bool,
}

/// Adds process, command line, user and parent, as much of each as leaves room for the others.
pub(super) fn add_process(alert: &Alert, user: Option<&str>, table: &mut Table) -> Whole {
    let process = alert.process.as_ref();
    let image = process.and_then(|it| it.image_path.as_deref().or(it.name.as_deref()));
    let image = table.beginning("Process", image);
    let command_line = process.and_then(|it| it.command_line.as_deref());
    let command_line = table.beginning("Command line", command_line);
    table.beginning("User", user);
    let parent = process.and_then(|it| it.parent.as_ref()).and_then(shown);
    Whole { image, command_line, parent: table.beginning("Parent", parent) }
}

/// Adds in full what was shortened.
pub(super) fn add_whole_lines(alert: &Alert, whole: &Whole, table: &mut Table) {
    let process = alert.process.as_ref();
    if !whole.image {
        table.code("Process in full", process.and_then(|it| it.image_path.as_deref()));
    }
    if !whole.command_line {
        table.code("Command line in full", process.and_then(|it| it.command_line.as_deref()));
    }
    if !whole.parent {
        let parent = process.and_then(|it| it.parent.as_ref());
        table.code("Parent in full", parent.and_then(shown));
    }
}

/// Adds the ancestors beyond the parent, and what the image says of itself.
pub(super) fn add_surroundings(alert: &Alert, table: &mut Table) {
    let Some(process) = &alert.process else {
        return;
    };
    table.code("Grandparent", process.grandparent.as_ref().and_then(shown));
    // Parent and grandparent are told better above; the list matters beyond them.
    if process.ancestors.len() > 2 {
        table.codes("Ancestors", process.ancestors.iter().cloned());
    }
    table.code("Current directory", process.current_directory.as_deref());
    table.text("Integrity", process.integrity_level.as_deref());
    add_binary("Signature", "Program", &process.binary, table);
}

fn shown(ancestor: &ParentProcess) -> Option<&str> {
    ancestor.command_line.as_deref().or(ancestor.image_path.as_deref())
}

/// Adds who vouches for the driver, library or written file that the rule looked at.
pub(super) fn add_target(alert: &Alert, table: &mut Table) {
    let driver = alert.driver.as_ref().map(|driver| &driver.binary);
    let mut files = alert.files.iter().map(|file| &file.binary);
    let is_known = |binary: &&Binary| **binary != Binary::default();
    if let Some(binary) = driver.filter(is_known).or_else(|| files.find(is_known)) {
        add_binary("Signature of the target", "Program of the target", binary, table);
    }
}

fn add_binary(signature_name: &str, program_name: &str, binary: &Binary, table: &mut Table) {
    table.texts(signature_name, signature(binary));
    table.texts(program_name, version_resource(binary));
}

fn signature(binary: &Binary) -> Vec<String> {
    let signed = match binary.signed {
        Some(true) => Some("signed".to_owned()),
        Some(false) => Some("not signed".to_owned()),
        None => None,
    };
    let told = [
        ("status ", &binary.signature_status),
        ("by ", &binary.signer),
        ("certificate of ", &binary.issuer),
        ("serial number ", &binary.serial_number),
        ("thumbprint ", &binary.thumbprint),
    ];
    signed.into_iter().chain(each(&told)).collect()
}

/// Returns what the file's author wrote into it: a claim, not a proof.
fn version_resource(binary: &Binary) -> Vec<String> {
    let told = [
        ("", &binary.description),
        ("product ", &binary.product),
        ("version ", &binary.file_version),
        ("company ", &binary.company),
        ("original name ", &binary.original_name),
        ("import hash ", &binary.import_hash),
    ];
    each(&told).collect()
}

fn each(told: &[(&str, &Option<String>)]) -> impl Iterator<Item = String> {
    told.iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?.trim())))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}{value}"))
}
