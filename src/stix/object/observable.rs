//! Observables. References that can hold one value only (`parent_directory_ref`, `image_ref`,
//! `creator_user_ref`, `parent_ref`) do not exist here: the platform takes them once and reports an
//! error each time they come again. Lists and relationships say the same. The ends of
//! `network-traffic` are the exception: they are part of its identity.

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::stix::{time::Timestamp, valid::Algorithm};

/// An observable.
pub trait Observable: Serialize {
    /// STIX type.
    fn kind(&self) -> &'static str;
}

macro_rules! observable {
    ($name:ident, $kind:literal) => {
        impl Observable for $name {
            fn kind(&self) -> &'static str {
                $kind
            }
        }
    };
}

observable!(Directory, "directory");
observable!(DomainName, "domain-name");
observable!(File, "file");
observable!(Hostname, "hostname");
observable!(NetworkTraffic, "network-traffic");
observable!(Process, "process");
observable!(Url, "url");
observable!(UserAccount, "user-account");
observable!(WindowsRegistryKey, "windows-registry-key");

/// `directory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Path, with the separators of its system, none at the end.
    pub path: String,
    /// Ids of files in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains_refs: Vec<String>,
}

/// `domain-name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainName {
    /// Name in lower case.
    pub value: String,
    /// Ids of the addresses it resolved to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolves_to_refs: Vec<String>,
    /// Score, when the rule is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
}

/// Hashes of a file, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileHashes {
    /// MD5.
    #[serde(rename = "MD5", skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-1.
    #[serde(rename = "SHA-1", skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// SHA-256.
    #[serde(rename = "SHA-256", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SHA-512.
    #[serde(rename = "SHA-512", skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
}

impl FileHashes {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether `hash` (in lower case) is one of them.
    pub fn contains(&self, hash: &str) -> bool {
        [&self.md5, &self.sha1, &self.sha256, &self.sha512]
            .into_iter()
            .any(|own| own.as_deref() == Some(hash))
    }

    /// Sets the hash of `algorithm`.
    pub fn set(&mut self, algorithm: Algorithm, hash: String) {
        let place = match algorithm {
            Algorithm::Md5 => &mut self.md5,
            Algorithm::Sha1 => &mut self.sha1,
            Algorithm::Sha256 => &mut self.sha256,
            Algorithm::Sha512 => &mut self.sha512,
        };
        *place = Some(hash);
    }
}

/// `file`: has a hash or a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct File {
    /// Name without path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hashes.
    #[serde(skip_serializing_if = "FileHashes::is_empty")]
    pub hashes: FileHashes,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Score, when the rule is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
}

/// `hostname`, a type of OpenCTI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hostname {
    /// Name as the host spells it.
    pub value: String,
}

/// `ipv4-addr` or `ipv6-addr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IpAddress {
    /// The address; IPv6 is written in canonical lower case.
    pub value: std::net::IpAddr,
    /// Score, when the rule is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
}

impl Observable for IpAddress {
    fn kind(&self) -> &'static str {
        if self.value.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" }
    }
}

/// `ipv4-addr` or `ipv6-addr` of a whole network, which OpenCTI takes by its length: `203.0.113.0/24`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IpNetwork {
    /// The network, without host bits.
    #[serde(serialize_with = "as_text")]
    pub value: IpNet,
    /// Score, when the rule is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
}

impl Observable for IpNetwork {
    fn kind(&self) -> &'static str {
        if self.value.addr().is_ipv4() { "ipv4-addr" } else { "ipv6-addr" }
    }
}

fn as_text<S: Serializer>(value: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// `network-traffic`: OpenCTI takes it without error from version 7 on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkTraffic {
    /// Id of the address it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_ref: Option<String>,
    /// Id of the address or domain name it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_ref: Option<String>,
    /// Port it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// Port it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_port: Option<u16>,
    /// Protocols in lower case, the outermost first; never empty.
    pub protocols: Vec<String>,
}

/// `process`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Number of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Command line; the platform refuses a process without.
    pub command_line: String,
    /// Current directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The time at which it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_time: Option<Timestamp>,
    /// Ids of the processes it started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub child_refs: Vec<String>,
}

/// `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Url {
    /// URL as given.
    pub value: String,
    /// Score, when the rule is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
}

/// `user-account`. By its login alone it is the account that other connectors send; with a SID and
/// a type the platform keeps a second one beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserAccount {
    /// Login as given, for example `CORP\bob`.
    pub account_login: String,
    /// SID or uid, when it is part of the account's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// `windows-local`, `windows-domain` or `unix`, with the SID only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_type: Option<&'static str>,
    /// Name without domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Domain, SID and kind of account, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_description: Option<String>,
}

/// `windows-registry-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowsRegistryKey {
    /// Key, beginning with the full name of its hive.
    pub key: String,
    /// Values of the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<RegistryValue>,
}

/// A value of a registry key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistryValue {
    /// Name.
    pub name: String,
    /// Data as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
