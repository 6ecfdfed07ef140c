//! Registry keys that an alert saw changed, with their values when the event is about one.

use super::{draft::Draft, markdown};
use crate::{
    alert::{Alert, RegistryChange},
    stix::{
        clean,
        object::{RegistryValue, WindowsRegistryKey},
    },
};

/// Short and kernel names of hives, and their full names.
const HIVES: [(&str, &str); 8] = [
    ("HKLM", "HKEY_LOCAL_MACHINE"),
    ("HKU", "HKEY_USERS"),
    ("HKCU", "HKEY_CURRENT_USER"),
    ("HKCR", "HKEY_CLASSES_ROOT"),
    ("HKCC", "HKEY_CURRENT_CONFIG"),
    ("HKPD", "HKEY_PERFORMANCE_DATA"),
    (r"\REGISTRY\MACHINE", "HKEY_LOCAL_MACHINE"),
    (r"\REGISTRY\USER", "HKEY_USERS"),
];

/// The most characters of a value's data in the text of a relationship.
const LONGEST_DATA: usize = 200;

/// Adds the registry keys of the alert.
pub(super) fn add_registry(alert: &Alert, draft: &mut Draft) {
    for change in &alert.registry {
        let target = change.target_object.as_deref().map(clean::line).unwrap_or_default();
        if target.is_empty() {
            continue;
        }
        if let Some(key) = registry_key(&full_name(&target), change) {
            if let Some(id) = draft.observable(&key) {
                draft.relate_to_incident(&id, "Registry key that was changed", &changed(&key));
            }
        } else {
            draft.leave_out(
                "registry key",
                format!("{target} names no registry key; only the description shows it"),
            );
        }
    }
}

/// Names a key and the value in it that was changed.
fn changed(key: &WindowsRegistryKey) -> String {
    match key.values.first() {
        Some(RegistryValue { name, data: Some(data) }) => {
            format!(r"{}\{name} = {}", key.key, markdown::shortened(data, LONGEST_DATA))
        }
        Some(value) => format!(r"{}\{}", key.key, value.name),
        None => key.key.clone(),
    }
}

fn registry_key(target: &str, change: &RegistryChange) -> Option<WindowsRegistryKey> {
    let about_value = change.event_type.as_deref().is_some_and(|kind| kind.ends_with("Value"));
    if !about_value {
        let key = target.trim_end_matches('\\').to_owned();
        return (!key.is_empty()).then(|| WindowsRegistryKey { key, values: Vec::new() });
    }
    let (key, name) = target.rsplit_once('\\').filter(|(key, _)| !key.is_empty())?;
    let data = change.details.as_deref().map(clean::text).filter(|data| !data.is_empty());
    // The unnamed value of a key is written with an empty name.
    let value = (!name.is_empty()).then(|| RegistryValue { name: name.to_owned(), data });
    Some(WindowsRegistryKey { key: key.to_owned(), values: value.into_iter().collect() })
}

fn full_name(target: &str) -> String {
    for (short, full) in HIVES {
        let Some((start, rest)) = target.split_at_checked(short.len()) else {
            continue;
        };
        if start.eq_ignore_ascii_case(short) && (rest.is_empty() || rest.starts_with('\\')) {
            return format!("{full}{rest}");
        }
    }
    target.to_owned()
}
