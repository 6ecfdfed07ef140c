//! IOC rules: their patterns, and the observables they matched.

use super::{
    draft::Draft,
    file::{SeenFile, file_name, split_path},
};
use crate::{
    alert::intelligence::IocRule,
    stix::{
        Pattern, clean,
        object::{DomainName, File, FileHashes, IpAddress, Url},
        valid,
    },
};

/// What an IOC rule becomes.
pub(super) struct IocPattern {
    pub(super) pattern: Pattern,
    /// The platform's name of the type the pattern is about.
    pub(super) main_observable_type: &'static str,
}

/// The pattern of an IOC rule; what is wrong with the rule when there is none.
pub(super) fn pattern(ioc: &IocRule) -> Result<IocPattern, String> {
    let value = clean::line(&ioc.value);
    if value.is_empty() {
        return Err("the IOC has no value".to_owned());
    }
    let (pattern, main_observable_type) = match ioc.kind.as_str() {
        "hash" => (hash_pattern(&value)?, "StixFile"),
        "filename" => (Pattern::text("file:name", &value), "StixFile"),
        "filepath" => (path_pattern(&value), "StixFile"),
        "ip_src" | "ip_dst" | "ip_both" => address_pattern(&value, ioc.port)?,
        "domain_name" | "domain-name" => {
            (Pattern::text("domain-name:value", &domain_value(&value)), "Domain-Name")
        }
        "url" => (Pattern::text("url:value", &value), "Url"),
        other => return Err(format!("IOC type {other} is not known")),
    };
    Ok(IocPattern { pattern, main_observable_type })
}

/// Returns whether the platform holds what this kind of IOC names to be valid for weeks only.
pub(super) fn is_short_lived(kind: &str) -> bool {
    matches!(kind, "ip_src" | "ip_dst" | "ip_both" | "url")
}

fn hash_pattern(value: &str) -> Result<Pattern, String> {
    let (algorithm, hash) = valid::hash(value)
        .ok_or_else(|| format!("{value} is no MD5, SHA-1, SHA-256 or SHA-512"))?;
    let path = match algorithm {
        valid::Algorithm::Md5 => "file:hashes.MD5",
        valid::Algorithm::Sha1 => "file:hashes.'SHA-1'",
        valid::Algorithm::Sha256 => "file:hashes.'SHA-256'",
        valid::Algorithm::Sha512 => "file:hashes.'SHA-512'",
    };
    Ok(Pattern::text(path, &hash))
}

fn path_pattern(value: &str) -> Pattern {
    match split_path(value) {
        Some((folder, name)) => {
            Pattern::text("file:parent_directory_ref.path", &folder).and_text("file:name", name)
        }
        None => Pattern::text("file:name", value),
    }
}

fn address_pattern(value: &str, port: Option<u16>) -> Result<(Pattern, &'static str), String> {
    let (address, length) =
        value.split_once('/').map_or((value, None), |(address, length)| (address, Some(length)));
    let (address, port) = match address.parse::<std::net::SocketAddr>() {
        Ok(socket) => (Some(socket.ip()), port.or(Some(socket.port()))),
        Err(_) => (valid::address(address), port),
    };
    let address = address.ok_or_else(|| format!("{value} is no IP address"))?;
    let length = match length.map(str::parse::<u8>) {
        None => String::new(),
        Some(Ok(length)) if length <= if address.is_ipv4() { 32 } else { 128 } => {
            format!("/{length}")
        }
        Some(_) => return Err(format!("{value} is no network")),
    };
    let text = format!("{address}{length}");
    Ok(match port.filter(|port| *port > 0) {
        Some(port) => (
            Pattern::text("network-traffic:dst_ref.value", &text)
                .and_number("network-traffic:dst_port", port),
            "Network-Traffic",
        ),
        None if address.is_ipv4() => (Pattern::text("ipv4-addr:value", &text), "IPv4-Addr"),
        None => (Pattern::text("ipv6-addr:value", &text), "IPv6-Addr"),
    })
}

fn domain_value(value: &str) -> String {
    value.strip_suffix('.').unwrap_or(value).to_lowercase()
}

/// Adds the observables that the IOC is about, scored, and answers their ids: the files of the
/// alert that match, else the value itself.
pub(super) fn add_matched(
    ioc: &IocRule,
    files: &[SeenFile],
    score: Option<u8>,
    draft: &mut Draft,
) -> Vec<String> {
    let value = clean::line(&ioc.value);
    match ioc.kind.as_str() {
        "hash" | "filename" | "filepath" => {
            add_matched_files(&ioc.kind, &value, files, score, draft)
        }
        "ip_src" | "ip_dst" | "ip_both" => {
            let socket =
                value.parse::<std::net::SocketAddr>().map(|socket| socket.ip().to_string());
            let address = valid::host_address(&socket.unwrap_or(value));
            let object = address.map(|value| IpAddress { value, x_opencti_score: score });
            object.and_then(|object| draft.observable(&object)).into_iter().collect()
        }
        "domain_name" | "domain-name" => {
            let object = valid::domain(&value).map(|value| DomainName {
                value,
                resolves_to_refs: Vec::new(),
                x_opencti_score: score,
            });
            object.and_then(|object| draft.observable(&object)).into_iter().collect()
        }
        "url" => {
            let object = valid::url(&value).map(|(value, _)| Url { value, x_opencti_score: score });
            object.and_then(|object| draft.observable(&object)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn add_matched_files(
    kind: &str,
    value: &str,
    files: &[SeenFile],
    score: Option<u8>,
    draft: &mut Draft,
) -> Vec<String> {
    let hash = valid::hash(value);
    let name_is = |name: Option<&String>| name.is_some_and(|name| same_name(name, value));
    let is_match = |file: &&SeenFile| match kind {
        "hash" => hash.as_ref().is_some_and(|(_, hash)| file.object.hashes.contains(hash)),
        "filename" => name_is(file.object.name.as_ref()),
        _ => name_is(file.path.as_ref()),
    };
    let mut matched: Vec<File> =
        files.iter().filter(is_match).map(|file| file.object.clone()).collect();
    if matched.is_empty() {
        let mut hashes = FileHashes::default();
        if let Some((algorithm, hash)) = hash.filter(|_| kind == "hash") {
            hashes.set(algorithm, hash);
        }
        let name = (kind != "hash").then(|| file_name(value).to_owned());
        let name = name.filter(|name| !name.is_empty());
        matched.push(File { name, hashes, ..File::default() });
    }
    add_scored(matched, score, draft)
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
