//! The process of an alert, its ancestors as far as their command lines are known, its user and its
//! current directory.

use std::ops::RangeInclusive;

use super::{ConvertSettings, account, dates, draft::Draft, file};
use crate::{
    alert::{Alert, EventLog, User},
    stix::{
        clean,
        object::{Directory, Process},
        time::Timestamp,
    },
};

/// Adds the process with what belongs to it. `image_id` is the file it runs.
pub(super) fn add_process(
    alert: &Alert,
    image_id: Option<&str>,
    settings: &ConvertSettings,
    draft: &mut Draft,
) {
    let Some(process) = &alert.process else {
        return;
    };
    let current_directory =
        process.current_directory.as_deref().map(clean::line).filter(|path| !path.is_empty());
    if let Some(path) = current_directory.as_deref().map(file::directory_path)
        && let Some(id) = draft.observable(&Directory { path, contains_refs: Vec::new() })
    {
        draft.describe(&id, "Current directory of the process");
    }
    let user = User { name: process.username.clone(), domain: None, sid: process.user_sid.clone() };
    let account_id = account::add_account(&user, settings.accounts, draft);
    if let Some(account_id) = &account_id {
        draft.describe(account_id, "User that the process runs as");
    }
    let Some(command_line) = command_line(process.command_line.as_deref()) else {
        draft.leave_out("process", "the alert tells no command line, which the platform requires");
        return;
    };
    let created = dates::usable(process.created, draft);
    let process_id = draft.observable(&Process {
        pid: process.pid.filter(|pid| *pid >= 0),
        command_line,
        cwd: current_directory,
        created_time: created.map(Timestamp),
        child_refs: Vec::new(),
    });
    let Some(process_id) = process_id else { return };
    draft.describe(&process_id, "Process that the alert is about");
    if let Some(image_id) = image_id {
        draft.relate("related-to", &process_id, image_id, Some("Image that the process runs"));
    }
    if let Some(account_id) = account_id {
        draft.relate("related-to", &process_id, &account_id, Some("User that the process runs as"));
    }
    add_ancestors(alert, process_id, draft);
}

/// Parent and grandparent, each with the process it started. The chain ends where a command line is
/// unknown, or where a process comes again.
fn add_ancestors(alert: &Alert, process_id: String, draft: &mut Draft) {
    let Some(process) = &alert.process else {
        return;
    };
    let mut chain = vec![process_id];
    let ancestors = [
        (&process.parent, "Parent of the process"),
        (&process.grandparent, "Grandparent of the process"),
    ];
    for (ancestor, role) in ancestors {
        let Some(ancestor) = ancestor else { return };
        let Some(command_line) = command_line(ancestor.command_line.as_deref()) else {
            return;
        };
        let ancestor = Process {
            pid: ancestor.pid.filter(|pid| *pid >= 0),
            command_line,
            cwd: None,
            created_time: None,
            child_refs: chain.last().cloned().into_iter().collect(),
        };
        match draft.new_observable(&ancestor, &chain) {
            Some(id) => {
                draft.describe(&id, role);
                chain.push(id);
            }
            None => return,
        }
    }
}

fn command_line(text: Option<&str>) -> Option<String> {
    Some(clean::text(text?)).filter(|text| !text.is_empty())
}

/// Adds the users that sessions and event logs name; one whose SID or name is that of the process's
/// user is the same.
pub(super) fn add_other_users(alert: &Alert, settings: &ConvertSettings, draft: &mut Draft) {
    let process = alert.process.as_ref();
    let own_sid = process.and_then(|process| process.user_sid.as_deref());
    for user in &alert.users {
        let same = own_sid.is_some_and(|sid| !sid.is_empty() && user.sid.as_deref() == Some(sid));
        if !same && let Some(id) = account::add_account(user, settings.accounts, draft) {
            draft.describe(&id, "Account of a session");
        }
    }
    for user in alert.event_log.iter().flat_map(accounts_of_log_entry) {
        let login = user.name.as_deref().map(clean::line).unwrap_or_default();
        let own_name = process.and_then(|process| process.username.as_deref());
        let names = alert.users.iter().filter_map(|known| known.name.as_deref()).chain(own_name);
        let sids = alert.users.iter().filter_map(|known| known.sid.as_deref()).chain(own_sid);
        if !names.into_iter().any(|name| plain(name) == plain(&login))
            && !sids.into_iter().any(|sid| Some(sid) == user.sid.as_deref())
            && let Some(id) = account::add_account(&user, settings.accounts, draft)
        {
            draft.describe(&id, "Account that the event log names");
        }
    }
}

/// The name without its domain, as Windows compares it.
fn plain(login: &str) -> String {
    login.rsplit('\\').next().unwrap_or(login).to_lowercase()
}

/// Events of Windows that are about a group: their target is no account.
const GROUP_EVENTS: [RangeInclusive<i64>; 5] =
    [4_727..=4_735, 4_737..=4_737, 4_744..=4_764, 4_783..=4_792, 4_799..=4_799];

/// Those whom a log entry names and who are accounts, with their domains as in other logins.
fn accounts_of_log_entry(entry: &EventLog) -> impl Iterator<Item = User> {
    let is_about_group = entry.users.iter().any(|named| named.role == "member")
        || entry.event_id.is_some_and(|id| GROUP_EVENTS.iter().any(|ids| ids.contains(&id)));
    let named = entry.users.iter().filter(move |named| named.role != "target" || !is_about_group);
    named.filter_map(|named| {
        let name = named.user.name.as_deref().map(clean::line)?;
        // A member is named as the directory does: `CN=ada,OU=…`.
        if name.contains('=') {
            return None;
        }
        let domain = named.user.domain.as_deref().map(clean::line).unwrap_or_default();
        let has_none = domain.is_empty() || domain == "-" || name.is_empty() || name == "-";
        let login = if has_none { name } else { format!("{domain}\\{name}") };
        Some(User { name: Some(login), ..named.user.clone() })
    })
}
