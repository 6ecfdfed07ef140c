//! Rows on what surrounds the alert: what the rule matched, the network, the log entry, the events
//! that were put together, the firewall filter, the antivirus's name for it, its history.

use chrono::{DateTime, Utc};

use super::{Table, shortened, words};
use crate::{
    alert::{
        Alert, Connection, Correlation, Direction, EventLog, FirewallFilter, IocMatch, RemoteLogon,
        User, intelligence::IocRule,
    },
    stix::time::timestamp,
};

/// The most answers of DNS that are shown of one name.
const MOST_ANSWERS: usize = 4;
/// The most characters of one field of a log entry's data.
const LONGEST_DATUM: usize = 500;
/// Fields of log entries that say where something came from or what was made: they are shown first.
const TELLING: [&str; 15] = [
    "IpAddress",
    "IpPort",
    "ClientAddress",
    "WorkstationName",
    "Workstation",
    "ClientName",
    "LogonType",
    "ServiceName",
    "ImagePath",
    "ServiceFileName",
    "TaskName",
    "ShareName",
    "Threat Name",
    "Path",
    "Action Name",
];

/// Adds what the rule matched, in its own words.
pub(super) fn add_matches(alert: &Alert, ioc: Option<&IocRule>, table: &mut Table) {
    let rules = alert.matched_rules.iter().filter_map(|rule| match &rule.namespace {
        Some(file) => Some(format!("{} ({file})", rule.rule_name.as_deref()?)),
        None => rule.rule_name.clone(),
    });
    table.texts("Matched rules", rules);
    // Not every alert tells the kind of what it matched; its rule does.
    let is_told = |found: &IocMatch| {
        found.kind.is_some() || found.value.as_deref() != ioc.map(|ioc| ioc.value.as_str())
    };
    let told = alert.ioc_matches.iter().filter(|found| is_told(found));
    let iocs = told.clone().filter_map(|found| match &found.kind {
        Some(kind) => Some(format!("{kind} {}", found.value.as_deref()?)),
        None => found.value.clone(),
    });
    let is_shown = |ioc: &&IocRule| told.clone().any(|it| it.value.as_ref() == Some(&ioc.value));
    let of_rule = ioc.filter(|ioc| !is_shown(ioc)).map(|ioc| format!("{} {}", ioc.kind, ioc.value));
    table.codes("Matched IOCs", iocs.chain(of_rule));
    let is_ioc = |value: &&String| {
        alert.ioc_matches.iter().any(|found| found.value.as_ref() == Some(*value))
    };
    // By which the console groups alerts that nothing else ties together.
    let is_told = |value: &&String| {
        [&alert.agent.id, &alert.rule_name].into_iter().flatten().any(|told| told == *value)
    };
    let values = alert.threat_values.iter().filter(|value| !is_ioc(value) && !is_told(value));
    table.codes("Matched values", values.cloned());
    let malware = alert.antivirus.as_ref();
    table.texts(
        "Malware",
        malware.into_iter().flat_map(|found| {
            let kind = found.kind.as_ref().map(|kind| format!("found by {kind}"));
            found.signature.clone().into_iter().chain(kind)
        }),
    );
}

/// Registry changes, connections, names asked for, URLs, the origin of the logon.
pub(super) fn add_network(alert: &Alert, table: &mut Table) {
    let changes = alert.registry.iter().filter_map(|change| {
        let kind = change.event_type.as_deref().unwrap_or("changed");
        let data = change.details.as_deref().map(|data| format!(" = {data}")).unwrap_or_default();
        Some(format!("{kind} {}{data}", change.target_object.as_deref()?))
    });
    table.codes("Registry", changes);
    table.codes("Connections", alert.connections.iter().map(connection));
    let names = alert.dns.iter().filter_map(|resolution| {
        let kind =
            resolution.query_type.as_deref().map(|kind| format!(" {kind}")).unwrap_or_default();
        let answers = match &resolution.ip_addresses[..] {
            [] => String::new(),
            addresses => {
                let shown = &addresses[..addresses.len().min(MOST_ANSWERS)];
                let more = if shown.len() < addresses.len() { ", …" } else { "" };
                format!(" → {}{more}", shown.join(", "))
            }
        };
        Some(format!("{}{kind}{answers}", resolution.requested_name.as_deref()?))
    });
    table.codes("DNS", names);
    let requests = alert.urls.iter().filter_map(|request| {
        let verb = request.verb.as_deref().map(|verb| format!("{verb} ")).unwrap_or_default();
        Some(format!("{verb}{}", request.url.as_deref().or(request.host.as_deref())?))
    });
    table.codes("URLs", requests);
    if let Some(logon) = &alert.remote_logon {
        table.text("Logon from", Some(&remote_logon(logon)));
    }
}

/// `outbound 192.0.2.17:51000 → 203.0.113.9:443 c2.example.org tcp`; an end that is not known is
/// not written.
pub(in crate::convert) fn connection(connection: &Connection) -> String {
    let end = |address: &Option<String>, port: Option<i64>| {
        let address = match address.as_deref()? {
            address if address.contains(':') => format!("[{address}]"),
            address => address.to_owned(),
        };
        let port = port.filter(|port| *port > 0);
        Some(port.map_or(address.clone(), |port| format!("{address}:{port}")))
    };
    let direction = connection.direction.map(|direction| match direction {
        Direction::Inbound => "inbound".to_owned(),
        Direction::Outbound => "outbound".to_owned(),
    });
    let destination = end(&connection.destination_ip, connection.destination_port);
    let told = [
        direction,
        end(&connection.source_ip, connection.source_port),
        destination.map(|destination| format!("→ {destination}")),
        connection.destination_host.clone(),
        connection.protocol.clone(),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn remote_logon(logon: &RemoteLogon) -> String {
    let kind = logon.logon_type.map(|number| {
        logon_type(number)
            .map_or(format!("logon type {number}"), |name| format!("{name} ({number})"))
    });
    let port = logon.source_port.filter(|port| *port > 0).map(|port| format!("port {port}"));
    // The name alone: it leaves room in what a page shows.
    let named = User {
        sid: logon.account.sid.clone().filter(|_| logon.account.name.is_none()),
        ..logon.account.clone()
    };
    let account = Some(person(&named)).filter(|account| !account.is_empty());
    let parts = [
        logon.source_hostname.clone(),
        logon.source_ip.clone(),
        port,
        kind,
        account.map(|account| format!("as {account}")),
        logon.time.map(|time| format!("at {}", timestamp(time))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Names Windows's kinds of logon.
fn logon_type(number: i64) -> Option<&'static str> {
    Some(match number {
        2 => "interactive",
        3 => "network",
        4 => "batch",
        5 => "service",
        7 => "unlock",
        8 => "network in clear text",
        9 => "new credentials",
        10 => "remote interactive",
        11 => "cached interactive",
        _ => return None,
    })
}

/// Log entry, correlated events, firewall filter.
pub(super) fn add_context(alert: &Alert, table: &mut Table) {
    if let Some(entry) = &alert.event_log {
        add_event_log(entry, alert.agent.hostname.as_deref(), table);
    }
    if let Some(correlation) = &alert.correlation {
        add_correlation(correlation, table);
    }
    if let Some(filter) = &alert.firewall_filter {
        add_firewall_filter(filter, table);
    }
}

fn add_event_log(entry: &EventLog, host: Option<&str>, table: &mut Table) {
    let own_name = host.map(str::to_lowercase);
    let is_host = |name: &&String| {
        own_name.as_deref() == name.to_lowercase().split('.').next()
            || own_name.as_deref() == Some(&name.to_lowercase())
    };
    let told = [
        entry.channel.clone(),
        entry.event_id.map(|number| format!("event {number}")),
        entry.provider.clone(),
        entry.record_number.map(|number| format!("record {number}")),
        entry.computer.as_ref().filter(|name| !is_host(name)).map(|name| format!("on {name}")),
        entry.time.map(|time| format!("at {}", timestamp(time))),
    ];
    table.texts("Event log", told.into_iter().flatten());
    table.texts(
        "Named in the log",
        entry.users.iter().map(|named| format!("{} {}", named.role, person(&named.user))),
    );
    let rank = |name: &str| TELLING.iter().position(|telling| *telling == name);
    let mut data: Vec<_> = entry.data.iter().filter(|(_, value)| tells_something(value)).collect();
    data.sort_by_key(|(name, _)| rank(name).unwrap_or(TELLING.len()));
    table.all_codes("Event data", data.into_iter().map(|(name, value)| datum(name, value)));
}

/// One field of a log entry's data.
fn datum(name: &str, value: &str) -> String {
    let kind = match name {
        "LogonType" => value.trim().parse().ok().and_then(logon_type),
        _ => None,
    };
    let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
    format!("{name}: {}{kind}", shortened(value, LONGEST_DATUM))
}

/// Returns whether a value is more than how Windows writes that there is none, or the number of a text that
/// stands in its own files.
fn tells_something(value: &str) -> bool {
    let value = value.trim();
    !matches!(value, "0x0" | "S-1-0-0" | "{00000000-0000-0000-0000-000000000000}")
        && !value.starts_with("%%")
}

fn person(user: &User) -> String {
    let name = match (&user.domain, &user.name) {
        (Some(domain), Some(name)) if domain != "-" => Some(format!("{domain}\\{name}")),
        (_, name) => name.clone(),
    };
    match (name, &user.sid) {
        (Some(name), Some(sid)) => format!("{name} ({sid})"),
        (name, sid) => name.or_else(|| sid.clone()).unwrap_or_default(),
    }
}

fn add_correlation(correlation: &Correlation, table: &mut Table) {
    let mut rules: Vec<&str> =
        correlation.events.iter().filter_map(|event| event.rule_id.as_deref()).collect();
    rules.sort_unstable();
    rules.dedup();
    let (events, alerts) = (
        correlation.events.len(),
        correlation.events.iter().filter(|event| event.has_own_alert == Some(true)).count(),
    );
    let count = |number: usize, what: &str| (number > 0).then(|| format!("{what}: {number}"));
    let one_process = correlation.is_of_one_process == Some(true);
    let told = [
        count(events, "events"),
        count(rules.len(), "rules"),
        count(alerts, "events with an alert of their own"),
        window(correlation.start, correlation.end),
        one_process.then(|| "of one process".to_owned()),
    ];
    table.texts("Correlated", told.into_iter().flatten());
    table.codes("Grouped by", correlation.group_by.iter().cloned());
    table.codes("Counted values", correlation.values.iter().cloned());
}

fn window(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Option<String> {
    match (start, end) {
        (Some(start), Some(end)) => {
            Some(format!("from {} to {}", timestamp(start), timestamp(end)))
        }
        (Some(start), None) => Some(format!("from {}", timestamp(start))),
        (None, Some(end)) => Some(format!("until {}", timestamp(end))),
        (None, None) => None,
    }
}

fn add_firewall_filter(filter: &FirewallFilter, table: &mut Table) {
    let told = [
        filter.name.clone(),
        filter.description.clone(),
        filter.id.as_ref().map(|id| format!("filter {id}")),
        filter.provider.as_ref().map(|name| format!("provider {name}")),
        filter.provider_service.as_ref().map(|name| format!("service {name}")),
        filter.time.map(|time| format!("at {}", timestamp(time))),
    ];
    table.texts("Firewall filter", told.into_iter().flatten());
}

/// Adds what people and the console did with the alert, the newest last.
pub(super) fn add_history(alert: &Alert, table: &mut Table) {
    let changes = alert.status_history.iter().filter_map(|change| {
        // When it was created the incident says itself.
        let action = change.action.as_deref().filter(|action| *action != "created")?;
        Some(match change.time {
            Some(time) => format!("{} at {}", words(action), timestamp(time)),
            None => words(action),
        })
    });
    table.texts("History", changes);
}
