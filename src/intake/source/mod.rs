//! Source of a delivery: the address of the client behind trusted proxies, and whether it
//! may post at all.
//!
//! Nobody's word is taken but a trusted proxy's: the chain of `X-Forwarded-For` is
//! walked from its end, where our own proxy writes, past trusted proxies, to the first address that
//! is none. What stands before that may be anybody's invention and is not looked at.
//!
//! Does not live here: reading that header (`forwarded`), counting failures (`attempts`).

mod forwarded;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::http::header::HeaderMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::AccessSettings;

/// The reason for which a delivery may not be taken from where it comes from. Told to the log.
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
        "the proxy {0} is trusted, but its X-Forwarded-For names no address: let it set that \
         header to the client's"
    )]
    Unnamed(IpAddr),
}

/// The senders that may post, and the proxies that are believed about it.
pub struct Sources {
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

    /// Returns whether a connection from `peer` may carry a delivery: a trusted proxy's may, since
    /// each of its requests is checked for its own client.
    pub fn may_connect(&self, peer: IpAddr) -> bool {
        self.trusts(peer) || self.allowed.is_empty() || contains(&self.allowed, peer.to_canonical())
    }

    /// Returns whether `peer` is a trusted proxy.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        contains(&self.trusted, peer.to_canonical())
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

    /// If no proxy is named, what comes from this machine comes through one all the same, most
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
    let Some(chain) = forwarded::x_forwarded_for(headers) else { return Some(peer) };
    let mut client = peer;
    for hop in chain.nearest_first() {
        client = hop?;
        if !contains(trusted, client) {
            break;
        }
    }
    Some(client)
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests;
