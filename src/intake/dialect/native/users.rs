//! Users and sessions of a native alert: whom `process_session`, `event_session`, `user` and
//! `eventlog.user` name beside the process's own user, and where a session was opened from.

use serde_json::Value;

use crate::{
    alert::{
        Process, RemoteLogon, User,
        lenient::{identifier_at, integer_at},
    },
    intake::dialect::dates::Dates,
};

/// Blocks that describe a session, the process's own first.
const SESSIONS: [&str; 2] = ["process_session", "event_session"];

/// Users other than the process's own, each once.
pub(super) fn read(element: &Value, process: Option<&Process>) -> Vec<User> {
    let field = |block: &str, name: &str| identifier_at(element, &format!("{block}.{name}"));
    let mut named: Vec<User> =
        SESSIONS.iter().map(|session| account_of(element, session)).collect();
    for block in ["eventlog.user", "user"] {
        named.push(User {
            name: field(block, "name"),
            domain: field(block, "domain"),
            sid: ["sid", "identifier", "id"].iter().find_map(|name| field(block, name)),
        });
    }
    others(named, process)
}

fn account_of(element: &Value, session: &str) -> User {
    let field = |name: &str| identifier_at(element, &format!("{session}.{name}"));
    User {
        name: field("target_username"),
        domain: field("target_domain"),
        sid: field("target_sid"),
    }
}

/// Drops what names nobody, the process's own user and repetitions.
pub(in crate::intake::dialect) fn others(named: Vec<User>, process: Option<&Process>) -> Vec<User> {
    let mut own = process.map(own_user).unwrap_or_default();
    let mut users: Vec<User> = Vec::new();
    for user in named {
        if same(&own, &user) {
            // What names the process's user by name and SID tells them again by SID alone.
            own.sid = own.sid.or(user.sid);
        } else if (user.name.is_some() || user.sid.is_some())
            && !users.iter().any(|known| same(known, &user))
        {
            users.push(user);
        }
    }
    users
}

fn own_user(process: &Process) -> User {
    let (domain, name) = match process.username.as_deref() {
        Some(username) => match username.rsplit_once('\\') {
            Some((domain, name)) => (Some(domain.to_owned()), Some(name.to_owned())),
            None => (None, Some(username.to_owned())),
        },
        None => (None, None),
    };
    User { name, domain, sid: process.user_sid.clone() }
}

/// One person: by SID where both have one, else by name and, where both have one, domain.
fn same(left: &User, right: &User) -> bool {
    if let (Some(left), Some(right)) = (&left.sid, &right.sid) {
        return left.eq_ignore_ascii_case(right);
    }
    let (Some(left_name), Some(right_name)) = (&left.name, &right.name) else {
        return false;
    };
    let same_domain = match (&left.domain, &right.domain) {
        (Some(left), Some(right)) => left.to_lowercase() == right.to_lowercase(),
        _ => true,
    };
    same_domain && left_name.to_lowercase() == right_name.to_lowercase()
}

/// Returns where the session was opened from: the process's session, else the event's.
pub(super) fn remote_logon(element: &Value, dates: &mut Dates<'_>) -> Option<RemoteLogon> {
    SESSIONS.iter().find_map(|session| {
        let path = |name: &str| format!("{session}.{name}");
        let logon = RemoteLogon {
            source_ip: identifier_at(element, &path("source_ip")),
            source_port: integer_at(element, &path("source_port")),
            source_hostname: identifier_at(element, &path("source_hostname")),
            logon_type: integer_at(element, &path("logon_type")),
            account: account_of(element, session),
            time: None,
        };
        let is_remote = logon.source_ip.is_some() || logon.source_hostname.is_some();
        is_remote.then(|| RemoteLogon { time: dates.first(&[&path("event_time")]), ..logon })
    })
}
