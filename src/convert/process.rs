//! The process of an alert, its parent, and users.

use std::ops::RangeInclusive;

use super::{ConvertSettings, account, dates, draft::Draft};
use crate::{
    alert::{Alert, EventLog, User},
    stix::{clean, object::Process, time::Timestamp},
};

/// Adds the process with its parent and its user. One without a pid or a command line is not sent: it
/// would be one process for all hosts, or is refused.
pub(super) fn add_process(alert: &Alert, settings: &ConvertSettings, draft: &mut Draft) {
    let Some(process) = &alert.process else {
        return;
    };
    let user = User { name: process.username.clone(), domain: None, sid: process.user_sid.clone() };
    account::add_account(&user, Some("User of the process"), settings.accounts, draft);
    let Some(command_line) = command_line(process.command_line.as_deref()) else {
        let why = "the alert gives no command line, and OpenCTI takes no process without one; its \
                   image and user are sent";
        draft.leave_out("process", why);
        return;
    };
    let Some(pid) = process.pid.filter(|pid| *pid >= 0) else {
        let why = "the alert gives no process id, and OpenCTI would take it for the process of other \
                   hosts too; its image and user are sent";
        draft.leave_out("process", why);
        return;
    };
    let created = dates::usable(process.created, draft);
    let current_directory = process.current_directory.as_deref().map(clean::line);
    let process_id = draft.observable(&Process {
        pid: Some(pid),
        command_line: command_line.clone(),
        cwd: current_directory.filter(|path| !path.is_empty()),
        created_time: created.map(Timestamp),
        child_refs: Vec::new(),
    });
    if let Some(process_id) = process_id {
        draft.relate_to_incident(&process_id, "Process of the alert", &command_line);
        add_parent(alert, &process_id, draft);
    }
}

/// Adds the parent with the process it started, as far as its pid and command line are known. The
/// description tells of the ancestors before it.
fn add_parent(alert: &Alert, process_id: &str, draft: &mut Draft) {
    let parent = alert.process.as_ref().and_then(|process| process.parent.as_ref());
    let Some((parent, pid)) = parent.and_then(|it| Some((it, it.pid.filter(|pid| *pid >= 0)?)))
    else {
        return;
    };
    let Some(command_line) = command_line(parent.command_line.as_deref()) else {
        return;
    };
    let child_refs = vec![process_id.to_owned()];
    let parent =
        Process { pid: Some(pid), command_line, cwd: None, created_time: None, child_refs };
    draft.other_observable(&parent, process_id);
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
        if !same {
            account::add_account(user, Some("Account of a session"), settings.accounts, draft);
        }
    }
    for (role, user) in alert.event_log.iter().flat_map(accounts_of_log_entry) {
        let login = user.name.as_deref().map(clean::line).unwrap_or_default();
        let own_name = process.and_then(|process| process.username.as_deref());
        let names = alert.users.iter().filter_map(|known| known.name.as_deref()).chain(own_name);
        let sids = alert.users.iter().filter_map(|known| known.sid.as_deref()).chain(own_sid);
        if !names.into_iter().any(|name| plain(name) == plain(&login))
            && !sids.into_iter().any(|sid| Some(sid) == user.sid.as_deref())
        {
            account::add_account(&user, Some(role), settings.accounts, draft);
        }
    }
}

/// The name without its domain, as Windows compares it.
fn plain(login: &str) -> String {
    login.rsplit('\\').next().unwrap_or(login).to_lowercase()
}

/// Returns what an account in this role of a log entry is to the incident.
fn described(role: &str) -> &'static str {
    match role {
        "subject" => "Account that acted, in the event log",
        "target" => "Account acted on, in the event log",
        "member" => "Member of a group, in the event log",
        _ => "Account in the event log",
    }
}

/// Events of Windows that are about a group: their target is no account.
const GROUP_EVENTS: [RangeInclusive<i64>; 5] =
    [4_727..=4_735, 4_737..=4_737, 4_744..=4_764, 4_783..=4_792, 4_799..=4_799];

/// Those whom a log entry names and who are accounts, each with what it is to the entry; with their domains
/// as in other logins.
fn accounts_of_log_entry(entry: &EventLog) -> impl Iterator<Item = (&'static str, User)> {
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
        Some((described(named.role), User { name: Some(login), ..named.user.clone() }))
    })
}
