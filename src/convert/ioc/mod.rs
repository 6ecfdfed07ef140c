//! IOC rules: their values, and the observables they matched.

mod value;

use std::net::IpAddr;

use ipnet::IpNet;

pub(super) use self::value::IocValue;
use self::value::one_address;
use super::{
    draft::Draft,
    file::{SeenFile, file_name},
};
use crate::{
    alert::{Alert, Connection, Direction},
    stix::{
        object::{DomainName, File, IpAddress, IpNetwork, Url},
        valid,
    },
};

/// Adds the observables that the IOC is about, scored, and answers their ids: the files and addresses of
/// the alert that match, else the value itself. What is no observable is left out.
pub(super) fn add_matched(
    value: &IocValue,
    alert: &Alert,
    files: &[SeenFile],
    score: Option<u8>,
    draft: &mut Draft,
) -> Vec<String> {
    match value {
        IocValue::Hash(..) | IocValue::FileName(_) | IocValue::FilePath(_) => {
            add_scored(matched_files(value, files), score, draft)
        }
        IocValue::Addresses { network, .. } => add_addresses(*network, alert, score, draft),
        IocValue::Domain(name) => {
            let observable = valid::domain(name).and_then(|value| {
                let resolves_to_refs = Vec::new();
                draft.observable(&DomainName { value, resolves_to_refs, x_opencti_score: score })
            });
            if observable.is_none() {
                draft.leave_out("domain", no_observable(name, "a domain name"));
            }
            observable.into_iter().collect()
        }
        IocValue::Url(url) => {
            let observable = valid::url(url)
                .and_then(|(value, _)| draft.observable(&Url { value, x_opencti_score: score }));
            if observable.is_none() {
                draft.leave_out("url", no_observable(url, "a URL with a scheme and a host"));
            }
            observable.into_iter().collect()
        }
    }
}

fn no_observable(value: &str, wanted: &str) -> String {
    format!("the IOC {value} is not {wanted}, so it becomes an indicator without an observable")
}

/// Adds the addresses of the alert that lie in a network, else the network itself, or its only address.
fn add_addresses(
    network: IpNet,
    alert: &Alert,
    score: Option<u8>,
    draft: &mut Draft,
) -> Vec<String> {
    if let Some(address) = one_address(network) {
        let address = valid::host_address(&address.to_string());
        let observable = address
            .and_then(|value| draft.observable(&IpAddress { value, x_opencti_score: score }));
        if observable.is_none() {
            draft.leave_out(
                "address",
                no_observable(&network.addr().to_string(), "the address of a host"),
            );
        }
        return observable.into_iter().collect();
    }
    let seen = others(alert).filter(|address| network.contains(address));
    let seen =
        seen.filter_map(|value| draft.observable(&IpAddress { value, x_opencti_score: score }));
    let mut ids: Vec<String> = Vec::new();
    for id in seen {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        ids.extend(draft.observable(&IpNetwork { value: network, x_opencti_score: score }));
    }
    ids
}

/// Returns the addresses that the host talked to.
fn others(alert: &Alert) -> impl Iterator<Item = IpAddr> {
    let of_connection = |connection: &Connection| {
        let source = connection.source_ip.clone();
        let destination = connection.destination_ip.clone();
        match connection.direction {
            Some(Direction::Inbound) => [source, None],
            Some(Direction::Outbound) => [None, destination],
            None => [source, destination],
        }
    };
    let own: Vec<IpAddr> =
        alert.agent.ip_addresses.iter().filter_map(|it| valid::host_address(it)).collect();
    let logon = alert.remote_logon.iter().filter_map(|logon| logon.source_ip.clone());
    let ends = alert.connections.iter().flat_map(of_connection).flatten();
    let addresses = ends.chain(logon).filter_map(|it| valid::host_address(&it));
    addresses.filter(move |address| !own.contains(address))
}

/// Returns the files of the alert that match, else the one that the value itself tells of.
fn matched_files(value: &IocValue, files: &[SeenFile]) -> Vec<File> {
    let name_is = |name: Option<&String>, wanted| name.is_some_and(|name| same_name(name, wanted));
    let is_match = |file: &&SeenFile| match value {
        IocValue::Hash(_, hash) => file.object.hashes.contains(hash),
        IocValue::FileName(name) => name_is(file.object.name.as_ref(), name),
        IocValue::FilePath(path) => name_is(file.path.as_ref(), path),
        _ => false,
    };
    let matched: Vec<File> = files.iter().filter(is_match).map(|it| it.object.clone()).collect();
    if !matched.is_empty() {
        return matched;
    }
    let mut file = File::default();
    match value {
        IocValue::Hash(algorithm, hash) => file.hashes.set(*algorithm, hash.clone()),
        _ => file.name = Some(file_name(&value.text()).to_owned()).filter(|it| !it.is_empty()),
    }
    vec![file]
}

/// Adds files with their score and answers their ids.
pub(super) fn add_scored(files: Vec<File>, score: Option<u8>, draft: &mut Draft) -> Vec<String> {
    let scored = files.into_iter().map(|file| File { x_opencti_score: score, ..file });
    scored.filter_map(|file| draft.observable(&file)).collect()
}

/// Windows compares names without regard to case, and most alerts come from there.
fn same_name(name: &str, value: &str) -> bool {
    name.to_lowercase() == value.to_lowercase()
}
