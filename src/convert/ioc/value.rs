//! The value of an IOC rule in the one spelling that its pattern, its observable and the indicator's
//! name share, however the console's list, an alert or OpenCTI spells it.
//!
//! A value that is not written as its type wants (a URL without a scheme, `evil[.]example`) stays as it
//! is: HarfangLab compares what is listed, and so does OpenCTI.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    alert::intelligence::IocRule,
    convert::file::split_path,
    stix::{Pattern, clean, valid},
};

/// A value that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::convert) enum IocValue {
    Hash(valid::Algorithm, String),
    FileName(String),
    FilePath(String),
    /// One address, or a network without host bits.
    Addresses {
        network: IpNet,
        port: Option<u16>,
    },
    Domain(String),
    Url(String),
}

impl IocValue {
    /// Reads the value of an IOC rule; answers what is wrong with the rule when it has none.
    pub(in crate::convert) fn read(ioc: &IocRule) -> Result<Self, String> {
        let value = clean::line(&ioc.value);
        if value.is_empty() {
            return Err("the IOC has no value".to_owned());
        }
        Ok(match ioc.kind.as_str() {
            "hash" => {
                let digits: String = value.split_whitespace().collect();
                let (algorithm, hash) = valid::hash(&digits).ok_or_else(|| {
                    format!("the IOC {value} of type hash is no MD5, SHA-1, SHA-256 or SHA-512")
                })?;
                Self::Hash(algorithm, hash)
            }
            "filename" => Self::FileName(value),
            "filepath" => Self::FilePath(value),
            "ip_src" | "ip_dst" | "ip_both" => {
                let (network, port) = addresses(&value)?;
                let port = ioc.port.or(port).filter(|port| *port > 0);
                Self::Addresses { network, port }
            }
            "domain_name" | "domain-name" => {
                let as_listed = || value.strip_suffix('.').unwrap_or(&value).to_lowercase();
                Self::Domain(valid::domain(&value).unwrap_or_else(as_listed))
            }
            "url" => Self::Url(valid::url(&value).map_or(value, |(spelt, _)| spelt)),
            "" => {
                return Err(format!(
                    "the alert does not say which type of IOC {value} is; the indicator is sent once the \
                 console has the IOC"
                ));
            }
            other => {
                return Err(format!("the IOC {value} is of the type {other}, which is not known"));
            }
        })
    }

    /// Returns the value as text.
    pub(in crate::convert) fn text(&self) -> String {
        match self {
            Self::Hash(_, text)
            | Self::FileName(text)
            | Self::FilePath(text)
            | Self::Domain(text)
            | Self::Url(text) => text.clone(),
            Self::Addresses { network, .. } => match one_address(*network) {
                Some(address) => address.to_string(),
                None => network.to_string(),
            },
        }
    }

    /// Returns the name of the indicator: the value, with its port.
    pub(in crate::convert) fn name(&self) -> String {
        match self {
            Self::Addresses { network, port: Some(port) } if network.addr().is_ipv6() => {
                format!("[{}]:{port}", self.text())
            }
            Self::Addresses { port: Some(port), .. } => format!("{}:{port}", self.text()),
            _ => self.text(),
        }
    }

    /// Returns the pattern, and the platform's name of the type that the pattern is about.
    pub(in crate::convert) fn pattern(&self) -> (Pattern, &'static str) {
        match self {
            Self::Hash(algorithm, hash) => {
                let path = match algorithm {
                    valid::Algorithm::Md5 => "file:hashes.MD5",
                    valid::Algorithm::Sha1 => "file:hashes.'SHA-1'",
                    valid::Algorithm::Sha256 => "file:hashes.'SHA-256'",
                    valid::Algorithm::Sha512 => "file:hashes.'SHA-512'",
                };
                (Pattern::text(path, hash), "StixFile")
            }
            Self::FileName(name) => (Pattern::text("file:name", name), "StixFile"),
            Self::FilePath(path) => (path_pattern(path), "StixFile"),
            Self::Addresses { network, port } => {
                let text = self.text();
                match port {
                    Some(port) => (
                        Pattern::text("network-traffic:dst_ref.value", &text)
                            .and_number("network-traffic:dst_port", *port),
                        "Network-Traffic",
                    ),
                    None if network.addr().is_ipv4() => {
                        (Pattern::text("ipv4-addr:value", &text), "IPv4-Addr")
                    }
                    None => (Pattern::text("ipv6-addr:value", &text), "IPv6-Addr"),
                }
            }
            Self::Domain(name) => (Pattern::text("domain-name:value", name), "Domain-Name"),
            Self::Url(url) => (Pattern::text("url:value", url), "Url"),
        }
    }

    /// Returns whether this is the `other` value, of which a port may be told here alone.
    pub(in crate::convert) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Addresses { network, .. },
                Self::Addresses { network: other_network, port: None },
            ) => network == other_network,
            _ => self == other,
        }
    }

    /// Returns whether OpenCTI lets indicators of this kind expire after weeks.
    pub(in crate::convert) fn is_short_lived(&self) -> bool {
        matches!(self, Self::Addresses { .. } | Self::Url(_))
    }

    /// Returns the type of an IOC rule with this value, where the value alone shows it. File names and
    /// domain names look alike.
    pub(in crate::convert) fn shown_kind(value: &str) -> Option<&'static str> {
        let is_path = value.starts_with(['/', '\\']) || value.get(1..3) == Some(":\\");
        if valid::hash(value).is_some() {
            Some("hash")
        } else if addresses(value).is_ok() {
            Some("ip_both")
        } else if is_path && split_path(value).is_some() {
            Some("filepath")
        } else if value.contains("://") && valid::url(value).is_some() {
            Some("url")
        } else {
            None
        }
    }
}

/// Returns the address of a network that has one only.
pub(super) fn one_address(network: IpNet) -> Option<IpAddr> {
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}

fn path_pattern(path: &str) -> Pattern {
    match split_path(path) {
        Some((folder, name)) => {
            Pattern::text("file:parent_directory_ref.path", &folder).and_text("file:name", name)
        }
        None => Pattern::text("file:name", path),
    }
}

/// Reads an address, an address with a port, or a network by length or mask.
fn addresses(value: &str) -> Result<(IpNet, Option<u16>), String> {
    let (text, length) = match value.split_once('/') {
        Some((text, length)) => (text.trim(), Some(length.trim())),
        None => (value, None),
    };
    let socket = text.parse::<SocketAddr>().ok();
    let address = socket.map(|it| it.ip().to_canonical()).or_else(|| valid::address(text));
    let address =
        address.ok_or_else(|| format!("the IOC {value} is neither an IP address nor a network"))?;
    let is_mapped = address.is_ipv4() && text.matches(':').count() > 1;
    let length = match length {
        None => Some(if address.is_ipv4() { 32 } else { 128 }),
        Some(length) => match length.parse::<u8>() {
            Ok(length) if is_mapped => length.checked_sub(96),
            Ok(length) => Some(length),
            Err(_) => length.parse().ok().and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok()),
        },
    };
    let network = length.and_then(|length| IpNet::new(address, length).ok());
    let network = network
        .ok_or_else(|| format!("the IOC {value} is not a network: its length or mask is wrong"))?;
    Ok((network.trunc(), socket.map(|it| it.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, value: &str) -> Result<String, String> {
        let (kind, value) = (kind.to_owned(), value.to_owned());
        IocValue::read(&IocRule { kind, value, ..IocRule::default() }).map(|it| it.text())
    }

    #[test]
    fn addresses_and_networks_have_one_spelling() {
        for (given, spelt) in [
            ("203.0.113.7/32", "203.0.113.7"),
            ("2001:DB8::7/128", "2001:db8::7"),
            ("2001:db8:0:0:0::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::FFFF:203.0.113.7/128", "203.0.113.7"),
            ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
            ("203.0.113.77/24", "203.0.113.0/24"),
            ("203.0.113.77 / 255.255.255.0", "203.0.113.0/24"),
            ("2001:DB8:1:2::3/32", "2001:db8::/32"),
            ("203.0.113.7:443", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ] {
            assert_eq!(text("ip_dst", given).as_deref(), Ok(spelt), "{given}");
        }
        for wrong in ["203.0.113.7/33", "2001:db8::/129", "203.0.113.1-203.0.113.9", "evil", "/24"]
        {
            assert!(text("ip_dst", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_urls_and_hashes_have_one_spelling_and_what_is_defanged_stays() {
        for (kind, given, spelt) in [
            ("domain_name", "Bücher-Portal.example.", "xn--bcher-portal-dlb.example"),
            ("domain_name", "XN--BCHER-PORTAL-DLB.example", "xn--bcher-portal-dlb.example"),
            ("domain_name", "evil[.]example", "evil[.]example"),
            ("domain_name", "*.Evil.example", "*.evil.example"),
            ("url", "HTTP://Evil.Example./A?B=C", "http://evil.example/A?B=C"),
            (
                "url",
                "https://u:P@bücher.example:8443/Ä",
                "https://u:P@xn--bcher-kva.example:8443/Ä",
            ),
            ("url", "http://evil.example", "http://evil.example"),
            ("url", "http://[2001:DB8::7]:80/", "http://[2001:db8::7]:80/"),
            ("url", "hxxp://evil[.]example/A", "hxxp://evil[.]example/A"),
            ("url", "Evil.example/A", "Evil.example/A"),
            ("hash", " 0C1D2E3F 40516273 8495A6B7 C8D9EAFB ", "0c1d2e3f405162738495a6b7c8d9eafb"),
            ("filename", " A, b is = c.EXE ", "A, b is = c.EXE"),
        ] {
            assert_eq!(text(kind, given).as_deref(), Ok(spelt), "{given}");
        }
    }
}
