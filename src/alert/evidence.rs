//! Holds what an alert shows beside its process: files, users, network, registry, rule matches.

use chrono::{DateTime, Utc};

use super::Binary;

/// File hashes as given, not yet checked for length or alphabet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    /// MD5.
    pub md5: Option<String>,
    /// SHA-1.
    pub sha1: Option<String>,
    /// SHA-256.
    pub sha256: Option<String>,
    /// SHA-512.
    pub sha512: Option<String>,
}

/// A user named by a session or event log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name as given.
    pub name: Option<String>,
    /// Domain.
    pub domain: Option<String>,
    /// SID or uid.
    pub sid: Option<String>,
}

/// A file that is not the process image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileEvidence {
    /// Role of the file in the alert: `target`, `library`, `script`, `scanned`, `detected`.
    pub role: &'static str,
    /// Full path or bare name as given.
    pub path: Option<String>,
    /// Hashes.
    pub hashes: Hashes,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Signature and version resource.
    pub binary: Binary,
}

/// `driverload`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// `imagename`.
    pub name: Option<String>,
    /// `imagepath`.
    pub path: Option<String>,
    /// Hashes.
    pub hashes: Hashes,
    /// `size` in bytes.
    pub size_bytes: Option<u64>,
    /// Signature and version resource.
    pub binary: Binary,
    /// `ioc_uuid`: id of the IOC that names the driver (agents 2.x).
    pub ioc_id: Option<String>,
}

/// `details_registry`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryChange {
    /// `event_type`, for example `SetValue`.
    pub event_type: Option<String>,
    /// `target_object`: key path, with the value's name as last part for value events.
    pub target_object: Option<String>,
    /// `details`: the value's data.
    pub details: Option<String>,
}

/// A network connection (`details_connection`, or the top-level `saddr`, `daddr`, …).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Source address.
    pub source_ip: Option<String>,
    /// Source port.
    pub source_port: Option<i64>,
    /// Destination address.
    pub destination_ip: Option<String>,
    /// Destination port.
    pub destination_port: Option<i64>,
    /// Destination host name.
    pub destination_host: Option<String>,
    /// `tcp`, `udp`, … in lower case.
    pub protocol: Option<String>,
    /// Side that opened it.
    pub direction: Option<Direction>,
}

/// Side that opened a network connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The other side.
    Inbound,
    /// This host.
    Outbound,
}

/// `details_dns_resolution`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsResolution {
    /// `requested_name`.
    pub requested_name: Option<String>,
    /// `query_type`.
    pub query_type: Option<String>,
    /// `ip_addresses[]`.
    pub ip_addresses: Vec<String>,
}

/// `details_url_request`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UrlRequest {
    /// `url`.
    pub url: Option<String>,
    /// `host`.
    pub host: Option<String>,
    /// `verb`.
    pub verb: Option<String>,
}

/// Origin, account and time of a session (`process_session`, `event_session`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteLogon {
    /// `source_ip`.
    pub source_ip: Option<String>,
    /// `source_port`.
    pub source_port: Option<i64>,
    /// `source_hostname`.
    pub source_hostname: Option<String>,
    /// `logon_type` (Windows: 3 network, 10 remote interactive, …).
    pub logon_type: Option<i64>,
    /// `target_username`, `target_domain`, `target_sid`: the account that logged on.
    pub account: User,
    /// `event_time`: when it logged on.
    pub time: Option<DateTime<Utc>>,
}

/// One of `ioc_matches[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IocMatch {
    /// `source_id` of the IOC's source.
    pub source_id: Option<String>,
    /// `type`: `hash`, `filename`, `filepath`, `ip_src`, `ip_dst`, `ip_both`, `domain_name`, `url`.
    pub kind: Option<String>,
    /// `value`.
    pub value: Option<String>,
}

/// One of `matched_rules[]` of a binary YARA alert.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MatchedRule {
    /// `namespace`: the YARA file's name.
    pub namespace: Option<String>,
    /// `rulename`.
    pub rule_name: Option<String>,
}
