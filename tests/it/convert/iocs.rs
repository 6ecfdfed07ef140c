//! Alerts that matched several IOCs, IOCs that only a message tells, and networks.

use harfanglab_incidents::{
    alert::{
        Alert, Connection, Direction, IocMatch, UrlRequest,
        intelligence::{Intelligence, IocRule},
    },
    convert::{Conversion, Wanted, carried_intelligence, completed, wanted_intelligence},
};
use serde_json::json;

use super::bundles::{converted, ends, id, left_out, none, objects, one};
use crate::support::samples::{self, text};

fn matched(kind: Option<&str>, value: &str) -> IocMatch {
    IocMatch { source_id: None, kind: kind.map(str::to_owned), value: text(value) }
}

fn alert(iocs: &[(&str, &str)]) -> Alert {
    let ioc_matches = iocs.iter().map(|(kind, value)| matched(Some(kind), value)).collect();
    Alert { ioc_matches, ..samples::alert("ioc") }
}

fn told_by(message: &str) -> Alert {
    Alert { message: text(message), ..samples::alert("ioc") }
}

fn names<'a>(conversion: &'a Conversion, kind: &'a str) -> Vec<&'a str> {
    objects(conversion, kind).map(|it| it["name"].as_str().unwrap()).collect()
}

fn description(conversion: &Conversion) -> &str {
    one(conversion, "incident")["description"].as_str().unwrap()
}

/// Returns what was left out, each with its reason.
fn reasons(conversion: &Conversion) -> Vec<String> {
    conversion.left_out.iter().map(|it| format!("{}: {}", it.what, it.why)).collect()
}

#[test]
fn every_ioc_that_an_alert_matched_becomes_an_indicator_with_its_observable_and_sighting() {
    let alert = alert(&[
        ("hash", samples::MD5),
        ("domain_name", "evil.example"),
        ("DOMAIN_NAME", "Evil.Example."),
        ("hash", &samples::MD5.to_uppercase()),
        ("ip_dst", "203.0.113.7"),
    ]);
    let conversion = converted(&alert, None);
    assert_eq!(names(&conversion, "indicator"), [samples::MD5, "evil.example", "203.0.113.7"]);
    let indicators: Vec<_> = objects(&conversion, "indicator").map(id).collect();
    let about_incident: Vec<_> =
        indicators.iter().map(|id| (*id, conversion.root_id.as_str())).collect();
    assert_eq!(ends(&conversion, "indicates"), about_incident);
    let based_on: Vec<_> =
        ends(&conversion, "based-on").into_iter().map(|(from, _)| from).collect();
    assert_eq!(based_on, indicators);
    let sighted: Vec<_> = objects(&conversion, "sighting")
        .map(|it| it["sighting_of_ref"].as_str().unwrap())
        .collect();
    assert_eq!(sighted, indicators);
    assert_eq!(conversion.indicator.as_ref().unwrap().id, indicators[0], "the journal knows it");
    for value in [samples::MD5, "evil.example", "203.0.113.7"] {
        assert!(description(&conversion).contains(value), "{value}");
    }
    assert_eq!(reasons(&conversion), [""; 0]);

    let known: Vec<_> = conversion.indicators().map(|it| it.id.clone()).collect();
    assert_eq!(known, indicators, "the journal dates each, and knows which were refused");
    let mut dated = conversion.clone();
    dated.date_indicator(&known[1], samples::at("2026-02-20T00:00:00Z"));
    let valid_from: Vec<_> =
        objects(&dated, "indicator").map(|it| it["valid_from"].clone()).collect();
    assert_eq!(valid_from[1], "2026-02-20T00:00:00.000Z");
    assert_eq!(valid_from[0], valid_from[2], "those of the alert");
    assert_ne!(valid_from[0], valid_from[1]);
}

#[test]
fn a_further_ioc_is_not_sighted_by_a_false_positive_since_nobody_knows_what_other_alerts_say() {
    let iocs = [("hash", samples::MD5), ("domain_name", "evil.example")];
    let conversion = converted(&Alert { status: text("false_positive"), ..alert(&iocs) }, None);
    assert_eq!(objects(&conversion, "indicator").count(), 2);
    let sighting = one(&conversion, "sighting");
    assert_eq!(sighting["sighting_of_ref"], json!(conversion.indicator.as_ref().unwrap().id));
    assert_eq!(sighting["x_opencti_negative"], true);
}

#[test]
fn an_ioc_that_becomes_no_indicator_or_no_observable_is_reported() {
    let mixed = alert(&[("registry", "Run"), ("hash", "abc"), ("hash", samples::MD5)]);
    let conversion = converted(&mixed, None);
    assert_eq!(names(&conversion, "indicator"), [samples::MD5], "the first that can be read");
    assert_eq!(left_out(&conversion), ["indicator", "indicator"]);
    for (reason, value) in reasons(&conversion).iter().zip(["Run", "abc"]) {
        assert!(reason.contains(value), "{reason}");
        assert!(description(&conversion).contains(value), "{value}");
    }
    for (kind, value, what) in [
        ("url", "hxxp://evil[.]example/a", "url"),
        ("domain_name", "evil[.]example", "domain"),
        ("ip_dst", "127.0.0.1", "address"),
    ] {
        let conversion = converted(&alert(&[(kind, value)]), None);
        assert_eq!(names(&conversion, "indicator"), [value]);
        assert_eq!(left_out(&conversion), [what], "{value}");
        assert_eq!(ends(&conversion, "based-on"), []);
    }
    let untyped = Alert {
        ioc_matches: vec![matched(None, "evil.exe")],
        message: None,
        ..samples::alert("ioc")
    };
    for alert in [untyped, told_by("found by an IOC: evil.exe")] {
        let conversion = converted(&alert, None);
        assert!(none(&conversion, "indicator"));
        assert_eq!(left_out(&conversion), ["indicator"]);
        assert!(reasons(&conversion)[0].contains("evil.exe"), "{:?}", reasons(&conversion));
    }
}

#[test]
fn of_very_many_iocs_as_many_become_indicators_as_the_description_shows() {
    let values: Vec<String> = (0..1_000).map(|number| format!("n{number}.example")).collect();
    let iocs: Vec<_> = values.iter().map(|value| ("domain_name", value.as_str())).collect();
    let conversion = converted(&alert(&iocs), None);
    assert_eq!(names(&conversion, "indicator"), values[..8]);
    assert!(description(&conversion).contains("`domain_name n7.example` and 992 more |"));
    let reasons = reasons(&conversion);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("1000 IOCs") && reasons[0].contains("992"), "{reasons:?}");
}

#[test]
fn the_ioc_that_the_console_completed_is_not_one_more() {
    let alert = alert(&[("ip_dst", "203.0.113.7"), ("url", "http://evil.example/")]);
    let told = IocRule { port: Some(443), ..samples::ioc_rule("ip_dst", "203.0.113.7") };
    let carried = carried_intelligence(&alert).unwrap();
    let rule = completed(carried, Intelligence::Ioc(told));
    let conversion = converted(&alert, Some(&rule));
    assert_eq!(names(&conversion, "indicator"), ["203.0.113.7:443", "http://evil.example/"]);
}

#[test]
fn an_ioc_match_of_a_process_makes_no_indicator_of_a_sigma_or_yara_alert() {
    let iocs = alert(&[("hash", samples::MD5), ("url", "http://evil.example/")]).ioc_matches;
    let conversion = converted(&Alert { ioc_matches: iocs, ..samples::sigma_alert() }, None);
    assert_eq!(one(&conversion, "indicator")["pattern_type"], "sigma");
}

#[test]
fn an_ioc_that_only_the_message_tells_becomes_an_indicator_when_the_console_does_not_know_it() {
    for (told, pattern) in [
        (format!("Driver was found malicious by an IOC: {}", samples::MD5), "[file:hashes.MD5 = "),
        (
            format!("driver hash={} is blacklisted, not blocked", samples::MD5),
            "[file:hashes.MD5 = ",
        ),
        ("File was found malicious by an IOC: filename=evil.exe".to_owned(), "[file:name = "),
        (r"found by an IOC: C:\Temp\a b.exe".to_owned(), "[file:parent_directory_ref.path = "),
        ("found by an IOC: domain_name=evil.example".to_owned(), "[domain-name:value = "),
        ("found by an IOC: ip_src=2001:db8::7".to_owned(), "[ipv6-addr:value = "),
        ("found by an IOC: 203.0.113.0/24".to_owned(), "[ipv4-addr:value = '203.0.113.0/24']"),
        ("found by an IOC: http://evil.example/?a=b".to_owned(), "[url:value = "),
    ] {
        let alert = told_by(&told);
        let conversion = converted(&alert, None);
        let indicator = one(&conversion, "indicator");
        assert!(indicator["pattern"].as_str().unwrap().starts_with(pattern), "{indicator:?}");
        assert_eq!(ends(&conversion, "based-on").len(), 1, "{told}");
        assert_eq!(objects(&conversion, "sighting").count(), 1);
        let asked = wanted_intelligence(&alert);
        assert!(matches!(asked, Some(Wanted::Ioc { kind: None, .. })), "{asked:?}");
        assert_eq!(left_out(&conversion), [""; 0], "{told}");
    }
    // The text after the last `=` is a guess, good enough to ask the console for.
    let guessed = converted(&told_by(&format!("new wording, parent = {}", samples::MD5)), None);
    assert!(none(&guessed, "indicator"));
    // The console knows better.
    let rule = samples::ioc("filename", "203.0.113.9");
    let known = converted(&told_by("found by an IOC: 203.0.113.9"), Some(&rule));
    assert_eq!(one(&known, "indicator")["pattern"], "[file:name = '203.0.113.9']");
}

#[test]
fn an_ioc_of_a_network_is_based_on_the_addresses_of_it_that_the_host_talked_to() {
    let network = alert(&[("ip_both", "203.0.113.0/24")]);
    let observables = |conversion: &Conversion| -> Vec<String> {
        let targets = ends(conversion, "based-on").into_iter().map(|(_, target)| target);
        let found = targets.map(|target| {
            let object = conversion.bundle.objects.iter().find(|it| id(it) == target).unwrap();
            assert_eq!(object["x_opencti_score"], 70);
            format!("{} {}", object["type"].as_str().unwrap(), object["value"].as_str().unwrap())
        });
        found.collect()
    };
    let conversion = converted(&network, None);
    assert_eq!(observables(&conversion), ["ipv4-addr 203.0.113.0/24"], "where no address is told");
    let wide = converted(&alert(&[("ip_src", "2001:DB8:1::1/48")]), None);
    assert_eq!(observables(&wide), ["ipv6-addr 2001:db8:1::/48"]);

    let connection = |source: &str, destination: &str| Connection {
        source_ip: text(source),
        destination_ip: text(destination),
        ..Connection::default()
    };
    let mut agent = network.agent.clone();
    agent.ip_addresses.push("203.0.113.77".to_owned());
    let connections = vec![
        connection("203.0.113.77", "203.0.113.9"),
        connection("203.0.113.77", "::ffff:203.0.113.9"),
        connection("198.51.100.1", "192.0.2.1"),
        Connection {
            direction: Some(Direction::Inbound),
            ..connection("203.0.113.10", "203.0.113.78")
        },
    ];
    let seen = converted(&Alert { agent, connections, ..network }, None);
    let expected = ["ipv4-addr 203.0.113.9", "ipv4-addr 203.0.113.10"];
    assert_eq!(observables(&seen), expected, "each once, and none of the host itself");
}

#[test]
fn a_value_in_a_message_survives_commas_fields_and_the_words_that_end_a_sentence() {
    for (message, value) in [
        (
            "found by an IOC: url=http://x.example/?a=1,name=b,ip=203.0.113.9&url=c",
            "http://x.example/?a=1,name=b,ip=203.0.113.9&url=c",
        ),
        ("found by an IOC: http://x.example/?a=1,hash=2", "http://x.example/?a=1,hash=2"),
        ("url url=http://x.example/?q=a,ip=1 is blacklisted", "http://x.example/?q=a,ip=1"),
        ("found by an IOC: url=http://x.example/?a=1, ip=203.0.113.9", "http://x.example/?a=1"),
        (
            "driver filename=it is blocked by me.sys is blacklisted, not blocked",
            "it is blocked by me.sys",
        ),
        ("driver filename=this is blocked.sys is blacklisted, not blocked", "this is blocked.sys"),
        ("driver filename=a.sys is blacklisted, was blocked", "a.sys"),
        ("driver filename=a = b, c.sys was blocked.", "a = b, c.sys"),
        ("found by an IOC: filename=a, b is c = d.exe", "a, b is c = d.exe"),
    ] {
        let name = converted(&told_by(message), None).identity.name;
        assert_eq!(name, format!("{value} on WS-Desk-07"), "{message}");
    }
}

#[test]
fn a_value_that_the_alert_holds_goes_before_where_it_seems_to_end_in_the_message() {
    let name = |alert: &Alert| converted(alert, None).identity.name;
    let url = "http://x.example/?a=1, ip=2 is blocked";
    let urls = vec![UrlRequest { url: text(url), ..UrlRequest::default() }];
    for message in ["found by an IOC: url=", "found by an IOC: ", "request url="] {
        let alert = Alert { urls: urls.clone(), ..told_by(&format!("{message}{url}")) };
        assert_eq!(name(&alert), format!("{url} on WS-Desk-07"), "{message}");
    }
    let path = r"C:\Temp\a, hash=b.exe";
    let alert = told_by(r"found by an IOC: filename=a, hash=b.exe, quarantined");
    let alert = Alert { detection_path: text(path), ..alert };
    assert_eq!(name(&alert), "a, hash=b.exe on WS-Desk-07");
    let shorter = vec![UrlRequest { url: text("http://x.example"), ..UrlRequest::default() }];
    let alert = Alert { urls: shorter, ..told_by("found by an IOC: url=http://x.example/?a=b") };
    assert_eq!(name(&alert), "http://x.example/?a=b on WS-Desk-07", "another URL");
}
