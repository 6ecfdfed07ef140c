//! Where a delivery comes from: the address of the client behind trusted proxies, and whether it
//! may post at all.
//!
//! Nobody's word is taken but a trusted proxy's: the chain of `X-Forwarded-For` or `Forwarded` is
//! walked from its end, where our own proxy writes, past trusted proxies, to the first address that
//! is none. What stands before that may be anybody's invention and is not looked at.
//!
//! Does not live here: reading the two headers (`forwarded`), counting failures (`attempts`).

mod forwarded;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::http::header::HeaderMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::forwarded::Chain;
use crate::config::AccessSettings;

/// Why a delivery may not be taken from where it comes from. Told to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdmitted {
    /// The client is in none of the networks.
    #[error(
        "{0} is in none of HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS; if it is your proxy, name \
         it in HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES"
    )]
    Elsewhere(IpAddr),
    /// A trusted proxy does not say for whom it speaks.
    #[error(
        "the proxy {0} is trusted, but its X-Forwarded-For or Forwarded names no address: let it \
         set one of the two, and only one"
    )]
    Unnamed(IpAddr),
}

/// Who may post, and whom to believe about it.
pub(super) struct Sources {
    allowed: Vec<IpNet>,
    trusted: Vec<IpNet>,
}

impl Sources {
    pub(super) fn new(settings: &AccessSettings) -> Self {
        Self {
            allowed: settings.allowed_networks.clone(),
            trusted: settings.trusted_proxies.clone(),
        }
    }

    /// The address to which a request from `peer` is counted, when it may post.
    ///
    /// # Errors
    /// [`NotAdmitted`], when there is a list of networks and the client is not shown to be in one.
    pub(super) fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, NotAdmitted> {
        let peer = peer.to_canonical();
        let client = client(peer, headers, &self.trusted);
        if self.allowed.is_empty() {
            return Ok(client.unwrap_or(peer)).map(|client| self.counted(client, headers));
        }
        let client = client.ok_or(NotAdmitted::Unnamed(peer))?;
        if contains(&self.allowed, client) {
            Ok(self.counted(client, headers))
        } else {
            Err(NotAdmitted::Elsewhere(client))
        }
    }

    /// Where no proxy is named, what comes from this machine comes through one all the same, most
    /// of the time. To let nobody in by its word, but not to count everybody's failures as those of
    /// one, it is believed here and only here.
    fn counted(&self, client: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusted.is_empty() {
            return client;
        }
        let this_machine = [
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        ];
        self::client(client, headers, &this_machine).unwrap_or(client)
    }
}

/// The first address, from `peer` on, that is no trusted proxy; the farthest when all are. `None`
/// when a trusted proxy was told something else than an address.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    if !contains(trusted, peer) {
        return Some(peer);
    }
    let walk = |chain: &Chain| {
        let mut client = peer;
        for hop in chain.nearest_first() {
            client = hop?;
            if !contains(trusted, client) {
                break;
            }
        }
        Some(client)
    };
    // A proxy writes one of the two headers and passes the other on as its client sent it. Which
    // one cannot be known, so the two must agree.
    match (forwarded::x_forwarded_for(headers), forwarded::forwarded(headers)) {
        (None, None) => Some(peer),
        (Some(chain), None) | (None, Some(chain)) => walk(&chain),
        (Some(one), Some(other)) => walk(&one).filter(|client| walk(&other) == Some(*client)),
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn seen(peer: &str, pairs: &[(&str, &str)]) -> String {
        let trusted = networks(&["10.0.0.0/8", "2001:db8:ffff::/48"]);
        client(peer.parse().unwrap(), &headers(pairs), &trusted)
            .map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    #[test]
    fn the_client_is_the_first_address_from_the_end_that_is_no_trusted_proxy() {
        let rows: &[(&[(&str, &str)], &str)] = &[
            (&[], PROXY),
            (&[(X, "192.0.2.7")], "192.0.2.7"),
            (&[(X, "192.0.2.7:4711")], "192.0.2.7"),
            (&[(X, "2001:db8::7")], "2001:db8::7"),
            (&[(X, "[2001:db8::7]:4711")], "2001:db8::7"),
            (&[(X, "\"[2001:db8::7]:4711\"")], "2001:db8::7"),
            (&[(X, "::ffff:192.0.2.7")], "192.0.2.7"),
            (&[(X, "192.0.2.7, 10.1.2.3 ,2001:db8:ffff::1")], "192.0.2.7"),
            (&[(X, "192.0.2.7"), (X, "10.1.2.3")], "192.0.2.7"),
            (&[(X, "10.9.9.9, 10.1.2.3")], "10.9.9.9"),
            (&[(F, "for=192.0.2.7")], "192.0.2.7"),
            (&[(F, "For=\"192.0.2.7:4711\";proto=https;by=203.0.113.43")], "192.0.2.7"),
            (&[(F, "proto=https ; for=\"[2001:db8::7]:4711\" , for=10.1.2.3")], "2001:db8::7"),
            (&[(F, "for=\"192.0.2\\.7\"")], "192.0.2.7"),
            (&[(F, "for=192.0.2.7;host=\"a, b; c\"")], "192.0.2.7"),
            (&[(X, "192.0.2.7"), (F, "for=192.0.2.7")], "192.0.2.7"),
        ];
        for (pairs, expected) in rows {
            assert_eq!(seen(PROXY, pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn nobody_becomes_somebody_else_by_a_header() {
        let rows: &[(&str, &[(&str, &str)], &str)] = &[
            // From no trusted proxy: what is said is not heard.
            ("198.51.100.9", &[(X, "192.0.2.7")], "198.51.100.9"),
            ("198.51.100.9", &[(F, "for=192.0.2.7")], "198.51.100.9"),
            // Said by the client, with what the proxy saw behind it.
            (PROXY, &[(X, "192.0.2.7, 198.51.100.9")], "198.51.100.9"),
            (PROXY, &[(X, "192.0.2.7"), (X, "198.51.100.9")], "198.51.100.9"),
            (PROXY, &[(X, "192.0.2.7, 10.0.0.1, 198.51.100.9")], "198.51.100.9"),
            (PROXY, &[(X, "nonsense, 198.51.100.9")], "198.51.100.9"),
            (PROXY, &[(F, "for=192.0.2.7, for=198.51.100.9")], "198.51.100.9"),
            // A quote that is left open must not swallow what the proxy adds.
            (PROXY, &[(F, "for=192.0.2.7;x=\", for=198.51.100.9")], "unknown"),
            (PROXY, &[(F, "for=\"192.0.2.7, for=198.51.100.9")], "unknown"),
            // One header by the proxy, the other by the client.
            (PROXY, &[(X, "198.51.100.9"), (F, "for=192.0.2.7")], "unknown"),
            (PROXY, &[(X, "198.51.100.9"), (F, "for=unknown")], "unknown"),
        ];
        for (peer, pairs, expected) in rows {
            assert_eq!(seen(peer, pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_address_names_nobody() {
        let x_forwarded_for = [
            "",
            ",",
            "192.0.2.7,",
            "unknown",
            "_hidden",
            "192.0.2.7, unknown",
            "192.0.2",
            "0x7f.1",
            "192.0.2.7:",
            "192.0.2.7:port",
            "192.0.2.7:70000",
            "[2001:db8::7",
            "2001:db8::7]",
            "[192.0.2.7]",
            "fe80::1%eth0",
            "192.0.2.7 192.0.2.8",
            "\"192.0.2.7",
            "\u{e9}",
        ];
        for value in x_forwarded_for {
            assert_eq!(seen(PROXY, &[(X, value)]), "unknown", "{value:?}");
        }
        let forwarded = [
            "",
            "for=",
            "for=unknown",
            "for=_hidden",
            "for=\"_SEVKISEK\"",
            "by=192.0.2.7",
            "192.0.2.7",
            "for=192.0.2.7;for=192.0.2.8",
            "for=192.0.2.7, proto=https",
            "for=\"192.0.2.7\"x",
            "for = 192.0.2.7",
            "for=\"192.0.2.7\\",
        ];
        for value in forwarded {
            assert_eq!(seen(PROXY, &[(F, value)]), "unknown", "{value:?}");
        }
    }

    #[test]
    fn with_a_list_only_a_client_that_is_named_and_listed_may_post() {
        let sources = Sources {
            allowed: networks(&["192.0.2.0/24", "2001:db8:1::/48"]),
            trusted: networks(&["10.0.0.0/8"]),
        };
        let admit =
            |peer: &str, said: &str| sources.admit(peer.parse().unwrap(), &headers(&[(X, said)]));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(admit(PROXY, "192.0.2.7"), Ok(address("192.0.2.7")));
        assert_eq!(admit("::ffff:10.0.0.1", "2001:db8:1::7"), Ok(address("2001:db8:1::7")));
        assert_eq!(admit("192.0.2.9", "198.51.100.9"), Ok(address("192.0.2.9")));
        let elsewhere = Err(NotAdmitted::Elsewhere(address("198.51.100.9")));
        assert_eq!(admit(PROXY, "192.0.2.7, 198.51.100.9"), elsewhere);
        assert_eq!(admit("198.51.100.9", "192.0.2.7"), elsewhere);
        assert_eq!(admit(PROXY, "unknown"), Err(NotAdmitted::Unnamed(address(PROXY))));
    }

    #[test]
    fn without_any_named_proxy_this_machine_is_believed_for_counting_only() {
        let admit = |allowed: &[&str], peer: &str| {
            let sources = Sources { allowed: networks(allowed), trusted: Vec::new() };
            sources.admit(peer.parse().unwrap(), &headers(&[(X, "192.0.2.7")])).ok()
        };
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(admit(&[], "127.0.0.1"), address("192.0.2.7"));
        assert_eq!(admit(&[], "::1"), address("192.0.2.7"));
        assert_eq!(admit(&[], "198.51.100.9"), address("198.51.100.9"));
        assert_eq!(admit(&["127.0.0.1/32"], "127.0.0.1"), address("192.0.2.7"));
        assert_eq!(admit(&["192.0.2.0/24"], "127.0.0.1"), None);
    }
}
