//! Proxies of the environment, read as Python's `requests` reads them, so that what works for another
//! connector works here: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, of which the names in
//! small letters count before those in capitals. Quotes around a value, which `docker run --env-file`
//! keeps, are no part of it.
//!
//! An entry of `NO_PROXY` is a name with everything below it, an address, a network, or `*`, each but
//! the last two with or without a port.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::error::ClientError;

/// Chooses the proxy of each request.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<Direct>,
}

/// Servers that are reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    Name(String, Option<u16>),
}

impl Proxies {
    /// Reads the proxies from `variable`, which gives the value of each name.
    ///
    /// # Errors
    /// Fails when a proxy's address is none, or of a kind that we do not speak. The address is not
    /// repeated, since it may hold a password.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let value = |name: &str| {
            let found = variable(&name.to_lowercase()).map(|text| (name.to_lowercase(), text));
            let found = found.or_else(|| Some((name.to_owned(), variable(name)?)));
            found.map(|(name, text)| (name, unquoted(&text).to_owned()))
        };
        let proxy = |name: &str| match value(name) {
            Some((name, text)) if !text.is_empty() => proxy_address(&name, &text).map(Some),
            _ => Ok(None),
        };
        let all = proxy("ALL_PROXY")?;
        let (_name, direct) = value("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy("HTTP_PROXY")?.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY")?.or(all),
            direct: direct.split(',').filter_map(Direct::read).collect(),
        })
    }

    /// The proxy for requests to this server; `None`: they go there directly.
    pub(super) fn proxy_for(&self, server: &Url) -> Option<Url> {
        let proxy = if server.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        (!self.direct.iter().any(|direct| direct.has(server))).then(|| proxy.clone())
    }
}

impl Direct {
    fn read(entry: &str) -> Option<Self> {
        let entry = unquoted(entry);
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = entry.parse() {
            return Some(Self::Address(address, None));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let unbracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        if let Ok(address) = unbracketed.unwrap_or(name).parse() {
            return Some(Self::Address(address, port));
        }
        let name = name.trim_start_matches('.').to_lowercase();
        (!name.is_empty()).then_some(Self::Name(name, port))
    }

    fn has(&self, server: &Url) -> bool {
        let is_port =
            |port: &Option<u16>| port.is_none() || *port == server.port_or_known_default();
        let address = match server.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(known, port) => address == Some(*known) && is_port(port),
            Self::Name(known, port) => {
                let below = server.domain().and_then(|name| name.strip_suffix(known.as_str()));
                below.is_some_and(|below| below.is_empty() || below.ends_with('.')) && is_port(port)
            }
        }
    }
}

/// `http://user:password@proxy:3128`, or `proxy:3128`.
fn proxy_address(variable: &str, text: &str) -> Result<Url, ClientError> {
    let refused = |problem| ClientError::Proxy { variable: variable.to_owned(), problem };
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|_| refused("is not the address of a proxy"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(refused("is not an http:// or https:// proxy, and no other kind is supported")),
    }
}

/// The text without blanks around it and without the quotes that it stands in.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner =
        ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ClientError> {
        Proxies::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy_for(variables: &[(&str, &str)], server: &str) -> Option<String> {
        let proxies = proxies(variables).unwrap();
        proxies.proxy_for(&Url::parse(server).unwrap()).map(String::from)
    }

    #[test]
    fn a_proxy_is_chosen_by_scheme_and_small_letters_count_first() {
        let both = [("HTTP_PROXY", "http://plain:1"), ("HTTPS_PROXY", "http://tls:2")];
        assert_eq!(proxy_for(&both, "http://a.example").as_deref(), Some("http://plain:1/"));
        assert_eq!(proxy_for(&both, "https://a.example").as_deref(), Some("http://tls:2/"));
        let all = [("ALL_PROXY", "all:3"), ("HTTP_PROXY", "http://plain:1")];
        assert_eq!(proxy_for(&all, "https://a.example").as_deref(), Some("http://all:3/"));
        let small = [("HTTPS_PROXY", "http://tls:2"), ("https_proxy", "http://small:4")];
        assert_eq!(proxy_for(&small, "https://a.example").as_deref(), Some("http://small:4/"));
        let off = [("HTTPS_PROXY", "http://tls:2"), ("https_proxy", "")];
        assert_eq!(proxy_for(&off, "https://a.example"), None, "an empty one switches it off");
    }

    #[test]
    fn quotes_around_a_value_are_no_part_of_it() {
        for quoted in ["\"http://proxy:3128\"", "'http://proxy:3128'", " \"proxy:3128\" "] {
            let set = [("HTTPS_PROXY", quoted), ("NO_PROXY", "\"a.example, b.example:8443\"")];
            let proxy = proxy_for(&set, "https://c.example");
            assert_eq!(proxy.as_deref(), Some("http://proxy:3128/"), "{quoted}");
            assert_eq!(proxy_for(&set, "https://a.example"), None, "{quoted}");
            assert_eq!(proxy_for(&set, "https://b.example:8443"), None, "{quoted}");
        }
    }

    #[test]
    fn no_proxy_takes_names_addresses_and_networks_with_or_without_a_port() {
        let direct = "edr.example:8443, .Corp.example,10.0.0.0/8,192.0.2.7:9000,[2001:db8::1]:443,\
                      2001:db8:1::/48,fd00::1,plain";
        let set = [("ALL_PROXY", "http://proxy:3128"), ("NO_PROXY", direct)];
        for server in [
            "https://edr.example:8443/api",
            "https://a.edr.example:8443",
            "https://corp.example",
            "http://a.b.corp.example:81",
            "http://10.1.2.3",
            "http://192.0.2.7:9000",
            "https://[2001:db8::1]/",
            "https://[2001:db8:1::7]:1",
            "http://[fd00::1]:8080",
            "http://plain:4000",
        ] {
            assert_eq!(proxy_for(&set, server), None, "{server}");
        }
        for server in [
            "https://edr.example",
            "https://edr.example:443",
            "https://otheredr.example:8443",
            "https://notcorp.example",
            "http://11.0.0.1",
            "http://192.0.2.7",
            "https://[2001:db8::1]:8443",
            "http://plain.example",
        ] {
            assert!(proxy_for(&set, server).is_some(), "{server}");
        }
        let none = [("ALL_PROXY", "http://proxy:3128"), ("no_proxy", "*")];
        assert_eq!(proxy_for(&none, "https://anything.example"), None);
    }

    #[test]
    fn an_address_that_is_no_proxy_is_refused_without_repeating_it() {
        for text in ["socks5://user:s3cret@proxy", "http://", "http://user:s3cret@pro xy"] {
            let refused = proxies(&[("https_proxy", text)]).unwrap_err().to_string();
            assert!(
                refused.starts_with("https_proxy ") && !refused.contains("s3cret"),
                "{refused}"
            );
        }
    }
}
