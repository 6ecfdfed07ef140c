//! The host: its system identity, its host name, its own addresses.

use std::net::IpAddr;

use super::{draft::Draft, markdown};
use crate::{
    alert::{Alert, Direction},
    stix::{
        clean,
        object::{Hostname, Identity, IdentityClass, IpAddress, SHARED_SINCE},
        time::Timestamp,
        valid,
    },
};

/// Adds what is known of the alert's host; answers the id of the system.
pub(super) fn add_host(alert: &Alert, draft: &mut Draft) -> Option<String> {
    let agent = &alert.agent;
    let name = agent.hostname.as_deref().map(host_name).unwrap_or_default();
    let system_id = add_system(&name, system_description(alert), draft);
    let Some(place_id) = &system_id else { return None };
    let hostname_id = add_hostname(&name, Some(place_id), draft);
    for address in own_addresses(alert) {
        let Some(value) = valid::host_address(address) else {
            let why = format!(
                "{address} is not an address of a host on a network; the host is sent without it"
            );
            draft.leave_out("address", why);
            continue;
        };
        let Some(address_id) = draft.observable(&IpAddress { value, x_opencti_score: None }) else {
            continue;
        };
        draft.belongs_to_host(&address_id);
        if is_private(value) {
            draft.keep_out_of_cases(&address_id);
        }
        match &hostname_id {
            Some(hostname_id) => draft.relate("resolves-to", hostname_id, &address_id, None),
            None => draft.relate("related-to", &address_id, place_id, None),
        }
    }
    system_id
}

/// Returns the addresses that the agent names, and those at its end of connections, each once.
fn own_addresses(alert: &Alert) -> Vec<&str> {
    let ends = alert.connections.iter().filter_map(|connection| match connection.direction? {
        Direction::Inbound => connection.destination_ip.as_deref(),
        Direction::Outbound => connection.source_ip.as_deref(),
    });
    let ends = ends.filter(|address| valid::host_address(address).is_some());
    let named = alert.agent.ip_addresses.iter().map(String::as_str);
    let mut addresses: Vec<&str> = Vec::new();
    for address in named.chain(ends).filter(|address| !address.trim().is_empty()) {
        if !addresses.iter().any(|it| valid::address(it) == valid::address(address)) {
            addresses.push(address);
        }
    }
    addresses
}

/// Returns whether hosts of other networks have the same address.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared_by_a_carrier = first == 100 && (64..128).contains(&second);
            address.is_private() || address.is_link_local() || is_shared_by_a_carrier
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// Returns the one spelling of a host's name: a dot at its end makes no other host.
pub(super) fn host_name(text: &str) -> String {
    clean::line(clean::line(text).trim_end_matches('.'))
}

/// Adds the system identity of a host and answers its id.
pub(super) fn add_system(
    name: &str,
    description: Option<String>,
    draft: &mut Draft,
) -> Option<String> {
    match name.chars().count() {
        0 => return None,
        1 => {
            let why = format!(
                "OpenCTI takes no name as short as {name}; the incident is sent without its host"
            );
            draft.leave_out("system", why);
            return None;
        }
        _ => {}
    }
    Some(draft.object(&Identity {
        name: name.to_owned(),
        identity_class: IdentityClass::System,
        description,
        created: Timestamp(SHARED_SINCE),
        modified: Timestamp(SHARED_SINCE),
    }))
}

/// Adds the host name and relates it to its system; answers its id.
pub(super) fn add_hostname(
    name: &str,
    system_id: Option<&str>,
    draft: &mut Draft,
) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let Some(value) = valid::hostname(name) else {
        draft.leave_out(
            "hostname",
            format!("{name} is not written as a host name; the system of this name is sent alone"),
        );
        return None;
    };
    let hostname_id = draft.observable(&Hostname { value })?;
    if let Some(system_id) = system_id {
        draft.relate("related-to", &hostname_id, system_id, None);
    }
    Some(hostname_id)
}

/// Operating system, domain and groups.
fn system_description(alert: &Alert) -> Option<String> {
    let agent = &alert.agent;
    let system = operating_system(alert);
    let domain = agent.domain.as_deref().map(clean::line).filter(|domain| !domain.is_empty());
    let groups: Vec<String> = alert
        .groups
        .iter()
        .filter_map(|group| group.name.as_deref().map(clean::line))
        .filter(|name| !name.is_empty())
        .collect();
    let lines: Vec<String> = [
        system.map(|system| format!("Operating system: {}", markdown::value(&system))),
        domain.map(|domain| format!("Domain: {}", markdown::value(&domain))),
        (!groups.is_empty()).then(|| format!("Groups: {}", markdown::value(&groups.join(", ")))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!lines.is_empty()).then(|| lines.join("\n\n"))
}

/// Product and version, unless the product says it already; else the bare type.
pub(super) fn operating_system(alert: &Alert) -> Option<String> {
    let agent = &alert.agent;
    let product = agent.os_product.as_deref().or(agent.os_type.as_deref());
    let is_news = |version: &&str| !product.is_some_and(|it| it.contains(version.trim()));
    let parts: Vec<String> = [product, agent.os_version.as_deref().filter(is_news)]
        .into_iter()
        .flatten()
        .map(clean::line)
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
