//! Evidence that a native alert shows beside its process and users: files, driver, registry, network, DNS,
//! URLs and rule matches. Each block has one reader; a console sends the few that fit the alert.

use std::{hash::Hash, iter};

use serde_json::Value;

use crate::{
    alert::{
        Connection, Direction, DnsResolution, Driver, FileEvidence, Hashes, IocMatch, MatchedRule,
        Process, RegistryChange, UrlRequest,
        lenient::{
            at, first_identifier_at, first_text_at, identifier_at, integer_at, items_at, object_at,
            text, text_at, texts_at, truth_at, unsigned_at, word_at,
        },
    },
    intake::dialect::{binary, hashes_at, unique},
};

/// `driverload`.
pub(super) fn driver(element: &Value) -> Option<Driver> {
    let block = object_at(element, "driverload")?;
    let driver = Driver {
        name: text_at(block, "imagename"),
        path: text_at(block, "imagepath"),
        hashes: hashes_at(block, "hashes"),
        size_bytes: unsigned_at(block, "size"),
        binary: binary::native(block, ""),
        ioc_id: identifier_at(block, "ioc_uuid"),
    };
    (driver != Driver::default()).then_some(driver)
}

/// Every file that is neither the process's image nor the driver.
pub(super) fn files(
    element: &Value,
    process: Option<&Process>,
    driver: Option<&Driver>,
) -> Vec<FileEvidence> {
    let mut files: Vec<FileEvidence> = named_files(element)
        .into_iter()
        .filter(|file| file.path.is_some() || file.hashes != Hashes::default())
        .collect();
    let detected = FileEvidence {
        role: "detected",
        path: text_at(element, "detection.file_path"),
        hashes: hashes_at(element, "detection.file_hashes"),
        ..FileEvidence::default()
    };
    let mut known = files.iter().map(|file| (&file.path, &file.hashes)).chain(
        process
            .map(|process| (&process.image_path, &process.hashes))
            .into_iter()
            .chain(driver.map(|driver| (&driver.path, &driver.hashes))),
    );
    let says_something = detected.path.is_some() || detected.hashes != Hashes::default();
    if says_something && !known.any(|(path, hashes)| same_file(path.as_deref(), hashes, &detected))
    {
        files.push(detected);
    }
    files
}

fn named_files(element: &Value) -> Vec<FileEvidence> {
    let mut files = vec![
        FileEvidence {
            role: "library",
            path: text_at(element, "details_library.image_loaded"),
            hashes: hashes_at(element, "details_library.hashes"),
            size_bytes: unsigned_at(element, "details_library.size"),
            binary: at(element, "details_library")
                .map(|block| binary::native(block, ""))
                .unwrap_or_default(),
        },
        FileEvidence {
            role: "script",
            path: text_at(element, "details_powershell.PowershellScriptPath"),
            ..FileEvidence::default()
        },
        FileEvidence {
            role: "scanned",
            path: text_at(element, "av_detection_details.path"),
            hashes: hashes_at(element, "av_detection_details.hashes"),
            size_bytes: unsigned_at(element, "av_detection_details.file_size"),
            ..FileEvidence::default()
        },
    ];
    // `details_file` up to 4.x; `details_windows_filesystem_event` since, and its siblings of
    // other systems, whose names are not published.
    let targets = element.as_object().into_iter().flatten().filter(|(name, _)| {
        *name == "details_file"
            || (name.starts_with("details_") && name.ends_with("filesystem_event"))
    });
    files.extend(targets.map(|(_, block)| FileEvidence {
        role: "target",
        path: text_at(block, "target_filename"),
        hashes: hashes_at(block, "written_file_hashes"),
        size_bytes: unsigned_at(block, "written_file_size"),
        binary: binary::native(block, "written_file_"),
    }));
    files
}

/// One file: by SHA-256 where both have one, else by path, in which Windows ignores case.
fn same_file(path: Option<&str>, hashes: &Hashes, other: &FileEvidence) -> bool {
    if let (Some(left), Some(right)) = (&hashes.sha256, &other.hashes.sha256) {
        return left == right;
    }
    match (path, &other.path) {
        (Some(left), Some(right)) => left.to_lowercase() == right.to_lowercase(),
        _ => false,
    }
}

/// `details_registry`, one or several.
pub(super) fn registry(element: &Value) -> Vec<RegistryChange> {
    let changes = items_at(element, "details_registry").iter().map(|block| RegistryChange {
        event_type: identifier_at(block, "event_type"),
        target_object: text_at(block, "target_object"),
        details: text_at(block, "details"),
    });
    changes.filter(|change| *change != RegistryChange::default()).collect()
}

/// Network connections: `details_connection` (named as Sigma names them) or the top-level fields
/// of a network alert (named as telemetry names them).
pub(super) fn connections(element: &Value) -> Vec<Connection> {
    let blocks = items_at(element, "details_connection").iter().chain([element]);
    unique(blocks.map(connection).filter(|connection| {
        connection.source_ip.is_some()
            || connection.destination_ip.is_some()
            || connection.destination_host.is_some()
    }))
}

fn connection(block: &Value) -> Connection {
    let address = |names: [&str; 2]| first_identifier_at(block, &names);
    let port = |names: [&str; 2]| names.iter().find_map(|name| integer_at(block, name));
    Connection {
        source_ip: address(["SourceIp", "saddr"]),
        source_port: port(["SourcePort", "sport"]),
        destination_ip: address(["DestinationIp", "daddr"]),
        destination_port: port(["DestinationPort", "dport"]),
        destination_host: identifier_at(block, "DestinationHostname")
            .or_else(|| texts_at(block, "dnames").into_iter().next()),
        protocol: word_at(block, "Protocol"),
        direction: direction(block),
    }
}

/// `direction` as telemetry writes it, or Sysmon's `Initiated`.
fn direction(block: &Value) -> Option<Direction> {
    match word_at(block, "direction").as_deref() {
        Some("out" | "outbound") => Some(Direction::Outbound),
        Some("in" | "inbound") => Some(Direction::Inbound),
        _ => truth_at(block, "Initiated")
            .map(|initiated| if initiated { Direction::Outbound } else { Direction::Inbound }),
    }
}

/// `details_dns_resolution`, one or several.
pub(super) fn dns(element: &Value) -> Vec<DnsResolution> {
    let resolutions =
        items_at(element, "details_dns_resolution").iter().map(|block| DnsResolution {
            requested_name: identifier_at(block, "requested_name"),
            query_type: identifier_at(block, "query_type"),
            ip_addresses: texts_at(block, "ip_addresses"),
        });
    resolutions
        .filter(|resolution| {
            resolution.requested_name.is_some() || !resolution.ip_addresses.is_empty()
        })
        .collect()
}

/// `details_url_request`, one or several.
pub(super) fn urls(element: &Value) -> Vec<UrlRequest> {
    let requests = items_at(element, "details_url_request").iter().map(|block| UrlRequest {
        url: identifier_at(block, "url"),
        host: identifier_at(block, "host"),
        verb: identifier_at(block, "verb"),
    });
    requests.filter(|request| request.url.is_some() || request.host.is_some()).collect()
}

/// `ioc_matches[]` of the alert and of any of its blocks, each match once.
pub(super) fn ioc_matches(element: &Value) -> Vec<IocMatch> {
    in_any_block(element, "ioc_matches", |item| {
        let ioc = if item.is_object() {
            IocMatch {
                source_id: identifier_at(item, "source_id"),
                kind: word_at(item, "type"),
                value: identifier_at(item, "value"),
            }
        } else {
            IocMatch { value: text(item), ..IocMatch::default() }
        };
        ioc.value.is_some().then_some(ioc)
    })
}

/// `matched_rules[]` of the alert and of any of its blocks, each rule once.
pub(super) fn matched_rules(element: &Value) -> Vec<MatchedRule> {
    in_any_block(element, "matched_rules", |item| {
        let rule = if item.is_object() {
            MatchedRule {
                namespace: identifier_at(item, "namespace"),
                rule_name: first_text_at(item, &["rulename", "rule_name"]),
            }
        } else {
            MatchedRule { namespace: None, rule_name: text(item) }
        };
        rule.rule_name.is_some().then_some(rule)
    })
}

/// Reads the list `name` of the alert itself and of each of its blocks.
fn in_any_block<Item: Clone + Eq + Hash>(
    element: &Value,
    name: &str,
    read: impl Fn(&Value) -> Option<Item>,
) -> Vec<Item> {
    let blocks = element.as_object().into_iter().flat_map(serde_json::Map::values);
    let items = iter::once(element).chain(blocks).flat_map(|block| items_at(block, name));
    unique(items.filter_map(read))
}
