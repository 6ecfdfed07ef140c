//! Adds what an alert saw on the network: connections, addresses, domain names, URLs, where a logon came
//! from.

use super::{NetworkTraffic as Setting, description, draft::Draft};
use crate::{
    alert::{Alert, Connection, DnsResolution, UrlRequest},
    stix::{
        clean,
        object::{DomainName, IpAddress, NetworkTraffic, Url},
        valid,
    },
};

/// Adds everything the alert saw on the network.
pub(super) fn add_network(alert: &Alert, traffic: Setting, draft: &mut Draft) {
    for connection in &alert.connections {
        add_connection(connection, traffic, draft);
    }
    for resolution in &alert.dns {
        add_resolution(resolution, draft);
    }
    for request in &alert.urls {
        add_request(request, draft);
    }
    if let Some(logon) = &alert.remote_logon
        && let Some(id) = add_address(logon.source_ip.as_deref(), draft)
    {
        let source = logon.source_ip.as_deref().unwrap_or_default();
        draft.relate_to_incident(&id, "Origin of the session", source);
    }
    for address in logon_origins(alert) {
        if let Some(id) = add_address(Some(address), draft) {
            draft.relate_to_incident(&id, "Origin of a logon in the event log", address);
        }
    }
}

/// Returns the addresses that the data of the log entry says somebody logged on from. Windows also writes
/// `LOCAL` there, or its own address.
fn logon_origins(alert: &Alert) -> impl Iterator<Item = &str> {
    let data = alert.event_log.iter().flat_map(|entry| &entry.data);
    data.filter(|(name, _)| ["IpAddress", "ClientAddress"].contains(&name.as_str()))
        .map(|(_, address)| address.as_str())
        .filter(|address| valid::host_address(address).is_some())
}

fn add_connection(connection: &Connection, traffic: Setting, draft: &mut Draft) {
    let source = add_address(connection.source_ip.as_deref(), draft);
    let destination = add_address(connection.destination_ip.as_deref(), draft);
    for (end, role, address) in [
        (&source, "Source of a connection", &connection.source_ip),
        (&destination, "Destination of a connection", &connection.destination_ip),
    ] {
        if let Some(id) = end {
            draft.relate_to_incident(id, role, address.as_deref().unwrap_or_default());
        }
    }
    let resolved = destination.iter().cloned().collect();
    let domain = add_domain(connection.destination_host.as_deref(), resolved, draft);
    if let Some(id) = &domain {
        let name = connection.destination_host.as_deref().unwrap_or_default();
        draft.relate_to_incident(id, "Destination of a connection", name);
    }
    let (src_ref, dst_ref) = (source, destination.or(domain));
    if traffic == Setting::AddressesOnly || (src_ref.is_none() && dst_ref.is_none()) {
        return;
    }
    let ends = [src_ref.as_deref(), dst_ref.as_deref()];
    let protocols = protocols(connection.protocol.as_deref(), ends);
    let src_port = port(connection.source_port, draft);
    let dst_port = port(connection.destination_port, draft);
    let traffic = NetworkTraffic { src_ref, dst_ref, src_port, dst_port, protocols };
    if let Some(id) = draft.observable(&traffic) {
        draft.relate_to_incident(&id, "Connection", &description::connection(connection));
    }
}

/// The protocol told; else the one that the addresses show, because there must be one.
fn protocols(told: Option<&str>, ends: [Option<&str>; 2]) -> Vec<String> {
    let told = told.map(clean::line).unwrap_or_default().to_lowercase();
    // A protocol is a name; a bare number would be read as one.
    let is_name = told.starts_with(|first: char| first.is_ascii_alphabetic())
        && told.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
    if is_name {
        return vec![told];
    }
    let is_ipv6 = ends.into_iter().flatten().any(|end| end.starts_with("ipv6-addr--"));
    vec![if is_ipv6 { "ipv6" } else { "ipv4" }.to_owned()]
}

/// A port; zero stands for an unknown one.
fn port(number: Option<i64>, draft: &mut Draft) -> Option<u16> {
    let number = number.filter(|number| *number != 0)?;
    let port = valid::port(number);
    if port.is_none() {
        draft.leave_out(
            "port",
            format!("{number} is no port (1 to 65535); the connection is sent without it"),
        );
    }
    port
}

fn add_resolution(resolution: &DnsResolution, draft: &mut Draft) {
    let mut addresses: Vec<String> = Vec::new();
    for address in &resolution.ip_addresses {
        addresses.extend(add_address(Some(address), draft).filter(|id| !addresses.contains(id)));
    }
    let name = resolution.requested_name.as_deref();
    for id in &addresses {
        draft.relate_to_incident(id, "Answer of DNS for", name.unwrap_or_default());
    }
    if let Some(id) = add_domain(name, addresses, draft) {
        draft.relate_to_incident(&id, "Name asked of DNS", name.unwrap_or_default());
    }
}

fn add_request(request: &UrlRequest, draft: &mut Draft) {
    let text = request.url.as_deref().map(clean::line).unwrap_or_default();
    let mut host = request.host.clone();
    if let Some((value, parsed)) = valid::url(&text) {
        host = parsed.host_str().map(str::to_owned);
        if let Some(id) = draft.observable(&Url { value, x_opencti_score: None }) {
            draft.relate_to_incident(&id, "URL asked for", &text);
        }
    } else if !text.is_empty() {
        draft.leave_out(
            "url",
            format!("{text} has no scheme or no host; only the description shows it"),
        );
    }
    let host_id = if host.as_deref().and_then(valid::address).is_some() {
        add_address(host.as_deref(), draft)
    } else {
        add_domain(host.as_deref(), Vec::new(), draft)
    };
    if let Some(id) = host_id {
        draft.relate_to_incident(&id, "Host of a URL", host.as_deref().unwrap_or_default());
    }
}

/// Adds an address of some host and answers its id.
fn add_address(text: Option<&str>, draft: &mut Draft) -> Option<String> {
    let text = clean::line(text?);
    let Some(value) = valid::host_address(&text) else {
        if !text.is_empty() && text != "-" {
            draft.leave_out(
                "address",
                format!("{text} is not the address of another host; only the description shows it"),
            );
        }
        return None;
    };
    draft.observable(&IpAddress { value, x_opencti_score: None })
}

fn add_domain(
    text: Option<&str>,
    resolves_to_refs: Vec<String>,
    draft: &mut Draft,
) -> Option<String> {
    let text = text.map(clean::line).unwrap_or_default();
    match valid::domain(&text) {
        Some(value) => {
            draft.observable(&DomainName { value, resolves_to_refs, x_opencti_score: None })
        }
        None if text.is_empty() || text == "-" => None,
        None => {
            draft.leave_out(
                "domain",
                format!("{text} is not written as a domain name; only the description shows it"),
            );
            None
        }
    }
}
