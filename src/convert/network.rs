//! What an alert saw on the network: addresses, domain names, URLs, where a logon came from.
//!
//! Does not live here yet: the `network-traffic` object, which OpenCTI 6.x answers with an error
//! each time; it needs the platform's version among the settings.

use super::draft::Draft;
use crate::{
    alert::{Alert, Connection, DnsResolution, UrlRequest},
    stix::{
        clean,
        object::{DomainName, IpAddress, Url},
        valid,
    },
};

/// Adds everything the alert saw on the network.
pub(super) fn add_network(alert: &Alert, draft: &mut Draft) {
    for connection in &alert.connections {
        add_connection(connection, draft);
    }
    for resolution in &alert.dns {
        add_resolution(resolution, draft);
    }
    for request in &alert.urls {
        add_request(request, draft);
    }
    if let Some(logon) = &alert.remote_logon {
        add_address(logon.source_ip.as_deref(), draft);
    }
}

fn add_connection(connection: &Connection, draft: &mut Draft) {
    add_address(connection.source_ip.as_deref(), draft);
    let destination = add_address(connection.destination_ip.as_deref(), draft);
    add_domain(connection.destination_host.as_deref(), destination.into_iter().collect(), draft);
}

fn add_resolution(resolution: &DnsResolution, draft: &mut Draft) {
    let mut addresses: Vec<String> = Vec::new();
    for address in &resolution.ip_addresses {
        addresses.extend(add_address(Some(address), draft).filter(|id| !addresses.contains(id)));
    }
    add_domain(resolution.requested_name.as_deref(), addresses, draft);
}

fn add_request(request: &UrlRequest, draft: &mut Draft) {
    let text = request.url.as_deref().map(clean::line).unwrap_or_default();
    let mut host = request.host.clone();
    if let Some((value, parsed)) = valid::url(&text) {
        host = parsed.host_str().map(str::to_owned);
        draft.observable(&Url { value, x_opencti_score: None });
    } else if !text.is_empty() {
        draft.leave_out("url", format!("{text} has no scheme or no host"));
    }
    if host.as_deref().and_then(valid::address).is_some() {
        add_address(host.as_deref(), draft);
    } else {
        add_domain(host.as_deref(), Vec::new(), draft);
    }
}

/// Adds an address of some host and answers its id.
fn add_address(text: Option<&str>, draft: &mut Draft) -> Option<String> {
    let text = clean::line(text?);
    let Some(value) = valid::host_address(&text) else {
        if !text.is_empty() && text != "-" {
            draft.leave_out("address", format!("{text} is no address of a host"));
        }
        return None;
    };
    draft.observable(&IpAddress { value, x_opencti_score: None })
}

fn add_domain(text: Option<&str>, resolves_to_refs: Vec<String>, draft: &mut Draft) {
    let text = text.map(clean::line).unwrap_or_default();
    match valid::domain(&text) {
        Some(value) => {
            draft.observable(&DomainName { value, resolves_to_refs, x_opencti_score: None });
        }
        None if text.is_empty() || text == "-" => {}
        None => draft.leave_out("domain", format!("{text} is not written as a domain name")),
    }
}
