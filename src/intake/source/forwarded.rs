//! `X-Forwarded-For`: texts → the chain of addresses they name.
//!
//! Strict on purpose: what one reader would take and another not is no address. Does not live
//! here: whom to believe (`source`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::HeaderMap;

/// The hops of a request in the order in which they were written; `None` for what is no address
/// (`unknown`, nonsense).
pub(super) struct Chain(Vec<Option<IpAddr>>);

impl Chain {
    /// From our own proxy's end.
    pub(super) fn nearest_first(&self) -> impl Iterator<Item = Option<IpAddr>> {
        self.0.iter().rev().copied()
    }
}

/// Reads all lines of `X-Forwarded-For`; `None` when it is absent.
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> Option<Chain> {
    let mut lines = headers.get_all("x-forwarded-for").peekable();
    lines.peek()?;
    let hops = lines.flat_map(|line| match std::str::from_utf8(line.as_bytes()) {
        Ok(line) => line.split(',').map(|hop| address(hop.trim())).collect(),
        Err(_) => vec![None],
    });
    Some(Chain(hops.collect()))
}

/// An address with or without port, IPv6 with or without brackets, in quotes or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let bracketed = || {
        let inside = text.strip_prefix('[')?.strip_suffix(']')?;
        inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    // A zone means nothing beyond the machine that wrote it.
    (!text.contains('%')).then(|| address.to_canonical())
}
