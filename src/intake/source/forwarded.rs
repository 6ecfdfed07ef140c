//! `X-Forwarded-For` and `Forwarded` (RFC 7239): texts → the chain of addresses they name.
//!
//! Strict on purpose: what one reader would take and another not is no address. Does not live
//! here: whom to believe (`source`).

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use actix_web::http::header::HeaderMap;

/// The hops of a request in the order in which they were written; `None` for what is no address
/// (`unknown`, an obfuscated identifier, nonsense).
pub(super) struct Chain(Vec<Option<IpAddr>>);

impl Chain {
    /// From our own proxy's end.
    pub(super) fn nearest_first(&self) -> impl Iterator<Item = Option<IpAddr>> {
        self.0.iter().rev().copied()
    }

    /// A chain of which nothing can be believed.
    fn unreadable() -> Self {
        Self(vec![None])
    }
}

/// What `X-Forwarded-For` says in all its lines; `None` when it is absent.
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> Option<Chain> {
    let mut lines = headers.get_all("x-forwarded-for").peekable();
    lines.peek()?;
    let hops = lines.flat_map(|line| match std::str::from_utf8(line.as_bytes()) {
        Ok(line) => line.split(',').map(|hop| address(hop.trim())).collect(),
        Err(_) => vec![None],
    });
    Some(Chain(hops.collect()))
}

/// What `Forwarded` says in all its lines; `None` when it is absent.
pub(super) fn forwarded(headers: &HeaderMap) -> Option<Chain> {
    let mut lines = headers.get_all("forwarded").peekable();
    lines.peek()?;
    let mut hops = Vec::new();
    for line in lines {
        let elements = std::str::from_utf8(line.as_bytes()).ok().and_then(|line| split(line, ','));
        // A quote that is left open could hide what our own proxy added.
        let Some(elements) = elements else { return Some(Chain::unreadable()) };
        hops.extend(elements.into_iter().map(element));
    }
    Some(Chain(hops))
}

/// The address of the only `for=` in `for=…;by=…;proto=…`.
fn element(text: &str) -> Option<IpAddr> {
    let mut named = None;
    for pair in split(text, ';')? {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            if named.is_some() {
                return None;
            }
            named = Some(address(value)?);
        }
    }
    named
}

/// Splits outside of quotes; `None` when a quote is left open.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (position, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[start..position]);
                start = position + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// An address with or without port, IPv6 with or without brackets, in quotes or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = match text.strip_prefix('"') {
        Some(rest) => unescaped(rest.strip_suffix('"')?)?,
        None => Cow::Borrowed(text),
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

/// The inside of a quoted text without its escapes; `None` when a quote stands in it unescaped.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['\\', '"']) {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next()?),
            '"' => return None,
            _ => plain.push(character),
        }
    }
    Some(Cow::Owned(plain))
}
