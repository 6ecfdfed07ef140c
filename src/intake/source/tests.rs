//! Tables of what may be said of a client, and by whom.

use actix_web::http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// Headers as they are sent.
type Said<'a> = &'a [(&'a str, &'a str)];

const PROXY: &str = "10.0.0.1";
const X: &str = "x-forwarded-for";

fn headers(pairs: Said<'_>) -> HeaderMap {
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

fn seen(peer: &str, pairs: Said<'_>) -> String {
    let trusted = networks(&["10.0.0.0/8", "2001:db8:ffff::/48"]);
    client(peer.parse().unwrap(), &headers(pairs), &trusted)
        .map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

#[test]
fn the_client_is_the_first_address_from_the_end_that_is_no_trusted_proxy() {
    let rows: &[(Said<'_>, &str)] = &[
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
    ];
    for (pairs, expected) in rows {
        assert_eq!(seen(PROXY, pairs), *expected, "{pairs:?}");
    }
}

#[test]
fn nobody_becomes_somebody_else_by_a_header() {
    let rows: &[(&str, Said<'_>, &str)] = &[
        // From no trusted proxy: what is said is not heard.
        ("198.51.100.9", &[(X, "192.0.2.7")], "198.51.100.9"),
        // Said by the client, with what the proxy saw behind it.
        (PROXY, &[(X, "192.0.2.7, 198.51.100.9")], "198.51.100.9"),
        (PROXY, &[(X, "192.0.2.7"), (X, "198.51.100.9")], "198.51.100.9"),
        (PROXY, &[(X, "192.0.2.7, 10.0.0.1, 198.51.100.9")], "198.51.100.9"),
        (PROXY, &[(X, "nonsense, 198.51.100.9")], "198.51.100.9"),
        // A header that no proxy of ours writes.
        (PROXY, &[(X, "198.51.100.9"), ("forwarded", "for=192.0.2.7")], "198.51.100.9"),
        (PROXY, &[("forwarded", "for=192.0.2.7")], PROXY),
    ];
    for (peer, pairs, expected) in rows {
        assert_eq!(seen(peer, pairs), *expected, "{pairs:?}");
    }
}

proptest! {
    #[test]
    fn whatever_a_client_says_what_our_proxy_adds_decides(
        said in "([ -~]{0,20}|[,;=\"\\\\ ]|10[.]0[.]0[.]1|192[.]0[.]2[.]7){0,6}",
    ) {
        let added = format!("{said}, 198.51.100.9");
        prop_assert_eq!(seen(PROXY, &[(X, &added)]), "198.51.100.9");
    }
}

#[test]
fn what_is_no_address_names_nobody() {
    let values = [
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
    for value in values {
        assert_eq!(seen(PROXY, &[(X, value)]), "unknown", "{value:?}");
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

#[test]
fn only_an_allowed_network_or_a_trusted_proxy_may_connect() {
    let sources = |allowed: &[&str]| Sources {
        allowed: networks(allowed),
        trusted: networks(&["10.0.0.0/8"]),
    };
    let listed = sources(&["192.0.2.0/24"]);
    let may_connect = |peer: &str| listed.may_connect(peer.parse().unwrap());
    assert!(may_connect("192.0.2.7") && may_connect("::ffff:192.0.2.7") && may_connect(PROXY));
    assert!(!may_connect("198.51.100.9"));
    assert!(sources(&[]).may_connect("198.51.100.9".parse().unwrap()));
}
