//! Reads signature and version resource of a program file, in native spelling and in ECS's.

use serde_json::Value;

use crate::alert::{
    Binary,
    lenient::{identifier_at, text_at, truth_at, word_at},
};

/// A binary of a native block. The names of its fields begin with `prefix`: nothing for a process,
/// a driver or a library, `written_file_` for the file that a filesystem event wrote.
pub(super) fn native(block: &Value, prefix: &str) -> Binary {
    // A process has `signature_info`, a written file `written_file_signatures`.
    let signature = |field: &str| {
        ["signature_info", "signatures"].map(|name| format!("{prefix}{name}.{field}"))
    };
    let truth = |field: &str| signature(field).iter().find_map(|path| truth_at(block, path));
    let signer = |field: &str| {
        let paths = signature(&format!("signer_info.{field}"));
        paths.iter().find_map(|path| text_at(block, path))
    };
    let version = |field: &str| text_at(block, &format!("{prefix}pe_info.{field}"));
    Binary {
        signed: truth_at(block, &format!("{prefix}signed"))
            .or_else(|| either(truth("signed_authenticode"), truth("signed_catalog"))),
        signature_status: signature("status").iter().find_map(|path| word_at(block, path)),
        signer: signer("display_name"),
        issuer: signer("issuer_name"),
        serial_number: signer("serial_number"),
        thumbprint: signer("thumbprint"),
        company: version("company_name"),
        product: version("product_name"),
        description: version("file_description"),
        file_version: version("file_version"),
        original_name: version("original_filename"),
        import_hash: word_at(block, &format!("{prefix}pe_imphash")),
    }
}

/// A binary of the ECS field set at `path` (`process`, `file`, `dll`).
pub(super) fn ecs(element: &Value, path: &str) -> Binary {
    let signature = |field: &str| format!("{path}.code_signature.{field}");
    let version = |field: &str| text_at(element, &format!("{path}.pe.{field}"));
    Binary {
        signed: truth_at(element, &signature("exists"))
            .or_else(|| truth_at(element, &signature("valid"))),
        signature_status: word_at(element, &signature("status")),
        signer: text_at(element, &signature("subject_name")),
        issuer: None,
        serial_number: None,
        thumbprint: identifier_at(element, &signature("thumbprint_sha1")),
        company: version("company"),
        product: version("product"),
        description: version("description"),
        file_version: version("file_version"),
        original_name: version("original_file_name"),
        import_hash: word_at(element, &format!("{path}.pe.imphash")),
    }
}

/// Returns whether one of two is true; nothing when neither says anything.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (None, None) => None,
        _ => Some(one == Some(true) || other == Some(true)),
    }
}
