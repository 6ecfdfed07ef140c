//! Finds which rule raised an alert, and the indicator it becomes: the rows of the Python connector's
//! defects that are about rules, and what the mapping adds.

use harfanglab_incidents::{
    alert::{
        Agent, Alert, IocMatch,
        intelligence::{Intelligence, IocRule},
    },
    config::IncidentNaming,
    convert::{
        ConvertSettings, Wanted, carried_intelligence, completed, convert_alert, gate::violations,
        wanted_intelligence,
    },
};
use serde_json::json;

use super::bundles::{converted, ends, id, left_out, none, objects, one};
use crate::support::samples::{self, text};

/// Type and value of an IOC, its pattern, and the type of its observable.
const IOCS: [[&str; 4]; 15] = [
    ["hash", samples::MD5, "[file:hashes.MD5 = '0c1d2e3f405162738495a6b7c8d9eafb']", "file"],
    [
        "hash",
        samples::SHA1,
        "[file:hashes.'SHA-1' = '1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d']",
        "file",
    ],
    ["filename", "evil.exe", "[file:name = 'evil.exe']", "file"],
    [
        "filepath",
        r"C:\Temp\evil.exe",
        r"[file:parent_directory_ref.path = 'C:\\Temp' AND file:name = 'evil.exe']",
        "file",
    ],
    ["ip_src", "203.0.113.7", "[ipv4-addr:value = '203.0.113.7']", "ipv4-addr"],
    ["ip_both", "2001:DB8::7", "[ipv6-addr:value = '2001:db8::7']", "ipv6-addr"],
    ["domain_name", "Evil.Example.", "[domain-name:value = 'evil.example']", "domain-name"],
    ["domain-name", "evil.example", "[domain-name:value = 'evil.example']", "domain-name"],
    ["ip_dst", "203.0.113.7/32", "[ipv4-addr:value = '203.0.113.7']", "ipv4-addr"],
    ["ip_src", "::ffff:203.0.113.7", "[ipv4-addr:value = '203.0.113.7']", "ipv4-addr"],
    ["ip_both", "2001:DB8::7/128", "[ipv6-addr:value = '2001:db8::7']", "ipv6-addr"],
    [
        "domain_name",
        "bücher-portal.example",
        "[domain-name:value = 'xn--bcher-portal-dlb.example']",
        "domain-name",
    ],
    ["url", "HTTP://Bücher.example/A", "[url:value = 'http://xn--bcher-kva.example/A']", "url"],
    [
        "url",
        "http:/evil.example/a?b=https://good.example/p",
        "[url:value = 'http:/evil.example/a?b=https://good.example/p']",
        "url",
    ],
    ["url", "http://evil.example/?b=c", "[url:value = 'http://evil.example/?b=c']", "url"],
];

#[test]
fn an_ioc_of_every_type_becomes_an_indicator_and_the_observable_it_is_about() {
    for [kind, value, pattern, observable] in IOCS {
        let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value)));
        let indicator = one(&conversion, "indicator");
        assert_eq!(indicator["pattern"], json!(pattern));
        let spelt = indicator["name"].as_str().unwrap();
        let is_path = kind == "filepath";
        assert!(is_path || pattern.contains(&format!("'{spelt}'")), "{spelt}: {pattern}");
        let based_on = ends(&conversion, "based-on");
        assert_eq!(based_on.len(), 1, "{kind} {value}");
        assert!(based_on[0].1.starts_with(observable), "{kind}: {}", based_on[0].1);
        let object = objects(&conversion, observable).find(|it| id(it) == based_on[0].1);
        if let Some(value) = object.unwrap().get("value") {
            assert_eq!(value, spelt, "pattern, name and observable are one");
        }
        assert_eq!(conversion.identity.name, format!("{value} on WS-Desk-07"), "as listed");
    }
    let sha512 = "ab".repeat(64);
    let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc("hash", &sha512)));
    let pattern = format!("[file:hashes.'SHA-512' = '{sha512}']");
    assert_eq!(one(&conversion, "indicator")["pattern"], json!(pattern));
}

#[test]
fn the_value_of_an_ioc_is_found_in_every_form_of_message() {
    let hash = samples::SHA256;
    let forms = [
        (
            "File was found malicious by an IOC: filename=ExampleApp.exe".to_owned(),
            "ExampleApp.exe",
        ),
        (format!("Driver was found malicious by an IOC: {hash}"), hash),
        (format!("driver hash={hash} is blacklisted, not blocked"), hash),
        (format!("Binary was found malicious by an IOC: hash = {hash}"), hash),
        (format!("Binary was found malicious by an IOC: sha256={hash}, blocked"), hash),
        ("found by an IOC: url=http://x.example/?a=b&c=d".to_owned(), "http://x.example/?a=b&c=d"),
        ("found by an IOC: http://x.example/?a=b".to_owned(), "http://x.example/?a=b"),
        (
            r"found by an IOC: filepath=C:\Program Files\a b.exe".to_owned(),
            r"C:\Program Files\a b.exe",
        ),
        ("matched: 203.0.113.9 on ip_dst=203.0.113.9.".to_owned(), "203.0.113.9"),
        (format!("driver SHA-256={hash} is blacklisted, not blocked"), hash),
        (format!("found by an IOC: SHA-256={hash}"), hash),
        (format!("found by an IOC: SHA-1 = {}", samples::SHA1), samples::SHA1),
        (format!("found by an IOC: sha_1={}, blocked", samples::SHA1), samples::SHA1),
        (format!("found by an IOC: {hash}, blocked"), hash),
        ("found by an IOC: filename=this is a, b = c.exe".to_owned(), "this is a, b = c.exe"),
        ("found by an IOC: filename=203.0.113.9 log.exe".to_owned(), "203.0.113.9 log.exe"),
        ("found by an IOC: file name=what is new.exe".to_owned(), "what is new.exe"),
        ("found by an IOC: filename=a.exe, sha256=1234".to_owned(), "a.exe"),
        ("found by an IOC: filename=\"a b.exe\", blocked".to_owned(), "a b.exe"),
        ("found by an IOC: filename='it's'.exe".to_owned(), "'it's'.exe"),
        ("driver filename=this is it.sys is blacklisted, not blocked".to_owned(), "this is it.sys"),
        ("found by an IOC: url=http://x.example/a, is it".to_owned(), "http://x.example/a, is it"),
        ("found by an IOC: ip_dst=203.0.113.0/24, blocked".to_owned(), "203.0.113.0/24"),
        ("found by an IOC: domain_name=evil.example, blocked".to_owned(), "evil.example"),
        ("found by an IOC: filename=a.exe\nSecond line".to_owned(), "a.exe"),
        ("some new wording = value".to_owned(), "value"),
    ];
    for (message, value) in forms {
        let alert = Alert { message: Some(message.clone()), ..samples::alert("ioc") };
        let expected = Wanted::Ioc { kind: None, value: value.to_owned() };
        assert_eq!(wanted_intelligence(&alert), Some(expected), "{message}");
        assert_eq!(converted(&alert, None).identity.name, format!("{value} on WS-Desk-07"));
    }
    for message in [None, text(""), text("Malicious")] {
        let alert = Alert { message, ..samples::alert("ioc") };
        assert_eq!(wanted_intelligence(&alert), None);
        converted(&alert, None);
    }
}

#[test]
fn the_matched_ioc_of_an_alert_goes_before_its_message() {
    let alert = Alert { message: text("nonsense = here"), ..samples::ioc_alert() };
    let expected = Wanted::Ioc { kind: text("hash"), value: samples::SHA256.to_uppercase() };
    assert_eq!(wanted_intelligence(&alert), Some(expected), "only the console knows its dates");
    let name = format!("{} on WS-Desk-07", samples::SHA256.to_uppercase());
    assert_eq!(converted(&alert, None).identity.name, name);
}

#[test]
fn a_yara_file_is_asked_for_by_the_namespaces_of_matched_rules_then_by_names() {
    let asked = |alert: &Alert| match wanted_intelligence(alert) {
        Some(Wanted::Yara { candidates }) => candidates,
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(&samples::yara_alert()), ["loaders.yar", "loader_stub"]);
    let older = Alert { rule_name: text("loader_stub: loaders.yar"), ..samples::alert("yara") };
    assert_eq!(asked(&older), ["loaders.yar", "loader_stub", "loader_stub: loaders.yar"]);
    let conversion = converted(&samples::yara_alert(), Some(&samples::yara()));
    let indicator = one(&conversion, "indicator");
    assert_eq!(indicator["name"], "loaders.yar");
    assert_eq!(indicator["pattern_type"], "yara");
    assert_eq!(conversion.identity.name, "YARA loader_stub on WS-Desk-07");
    assert_eq!(ends(&conversion, "based-on").len(), 1, "the image of the process");
}

#[test]
fn a_rule_without_content_or_with_half_of_it_makes_no_indicator() {
    let halves = ["", "title: only a title", "plain text", "detection:\n  condition: a\n", ": : :"];
    let bottomless = format!("logsource: {}", "[".repeat(100_000));
    for content in halves.into_iter().chain([bottomless.as_str()]) {
        let conversion = converted(&samples::alert("sigma"), Some(&samples::sigma(content)));
        assert!(none(&conversion, "indicator") && none(&conversion, "sighting"), "{content}");
        assert_eq!(left_out(&conversion), ["indicator"]);
    }
    let dateless = match samples::sigma(samples::SIGMA) {
        Intelligence::Sigma(mut rule) => {
            (rule.created, rule.modified) = (None, None);
            Intelligence::Sigma(rule)
        }
        other => other,
    };
    let conversion = converted(&samples::alert("sigma"), Some(&dateless));
    assert_eq!(one(&conversion, "indicator")["created"], "2025-03-04T00:00:00.000Z", "as it says");
    let dateless = IocRule { created: None, ..samples::ioc_rule("filename", "a.exe") };
    let conversion = converted(&samples::alert("ioc"), Some(&Intelligence::Ioc(dateless)));
    let created = &one(&conversion, "indicator")["created"];
    assert_eq!(created, "2026-03-02T00:00:00.000Z", "the day of the alert");
}

/// The indicator of an alert, whose rule the console tells as `told`.
fn indicator(alert: &Alert, told: Option<Intelligence>) -> String {
    let rule = match (carried_intelligence(alert), told) {
        (Some(carried), Some(told)) => Some(completed(carried, told)),
        (carried, told) => carried.or(told),
    };
    let mut conversion = converted(alert, rule.as_ref());
    let id = conversion.indicator.clone().unwrap().id;
    conversion.date_indicator(&id, samples::at("2026-03-01T00:00:00Z"));
    serde_json::to_string(one(&conversion, "indicator")).unwrap()
}

#[test]
fn an_indicator_is_valid_from_the_alert_on_but_never_from_later_than_its_receipt() {
    let received_at = samples::never_seen().received_at;
    for (alert_time, valid_from) in [
        ("2026-03-02T10:00:00.031Z", "2026-03-02T10:00:00.031Z"),
        ("2026-03-02T10:00:06Z", "2026-03-02T10:00:05.000Z"),
    ] {
        let alert = Alert { alert_time: Some(samples::at(alert_time)), ..samples::sigma_alert() };
        let conversion = converted(&alert, Some(&samples::sigma(samples::SIGMA)));
        let indicator = one(&conversion, "indicator");
        assert_eq!(indicator["valid_from"], valid_from);
        assert_eq!(indicator["created"], "2025-03-04T00:00:00.000Z", "the rule's");
        let seen = conversion.indicator.as_ref().unwrap();
        assert_eq!((seen.id.as_str(), seen.moves_after.num_days()), (id(indicator), 30));
        assert!(seen.seen_at <= received_at);
    }
    for [kind, value, ..] in IOCS {
        let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value)));
        let is_short_lived = kind.starts_with("ip") || kind == "url";
        let days = if is_short_lived { 15 } else { 30 };
        assert_eq!(conversion.indicator.unwrap().moves_after.num_days(), days, "{kind}");
    }
}

#[test]
fn an_indicator_is_the_same_bytes_whatever_road_its_rule_came_by() {
    let later = |alert: Alert| Alert {
        alert_time: Some(samples::at("2026-04-05T06:07:08Z")),
        tags: vec!["attack.impact".to_owned()],
        mitre_cells: Vec::new(),
        references: vec!["https://elsewhere.example/".to_owned()],
        ..alert
    };
    // The console tells a Sigma rule that says its date, or the alert carries it.
    let carrying = samples::sigma_alert();
    let naming = Alert { rule_content: None, ..samples::sigma_alert() };
    let told = || Some(samples::sigma(samples::SIGMA));
    assert_eq!(indicator(&carrying, None), indicator(&naming, told()));
    assert_eq!(indicator(&carrying, None), indicator(&later(carrying.clone()), None));
    // One that says none, and an IOC, are dated by the console.
    let undated = samples::SIGMA.replace("date:", "day:");
    let carrying = Alert { rule_content: text(&undated), ..samples::sigma_alert() };
    assert!(wanted_intelligence(&carrying).is_some());
    let told = || Some(samples::sigma(&undated));
    assert_eq!(indicator(&carrying, told()), indicator(&later(naming), told()));
    let value = samples::SHA256.to_uppercase();
    let described = IocRule { description: text("A report"), ..samples::ioc_rule("hash", &value) };
    let told = || Some(Intelligence::Ioc(described.clone()));
    let named = Alert { ioc_matches: Vec::new(), ..samples::ioc_alert() };
    assert_eq!(indicator(&samples::ioc_alert(), told()), indicator(&named, told()));
}

#[test]
fn no_name_is_shorter_than_the_platform_takes() {
    let settings = [IncidentNaming::Title, IncidentNaming::Message]
        .map(|naming| ConvertSettings { naming, ..samples::settings() });
    for (kind, value) in [("hash", ""), ("hash", " x"), ("filename", "x"), ("url", "\u{7}")] {
        for content in [None, text("x")] {
            let alert = Alert {
                message: content.clone(),
                rule_name: content,
                agent: Agent::default(),
                ..samples::alert("ioc")
            };
            for settings in &settings {
                let rule = samples::ioc(kind, value);
                let conversion =
                    convert_alert(&alert, Some(&rule), &samples::never_seen(), settings);
                assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
                assert_eq!(conversion.identity.name, "HarfangLab ioc alert", "{kind} {value:?}");
            }
        }
    }
}

#[test]
fn a_port_makes_the_pattern_one_of_traffic() {
    let rule = match samples::ioc("ip_dst", "203.0.113.7") {
        Intelligence::Ioc(mut ioc) => {
            ioc.port = Some(8443);
            Intelligence::Ioc(ioc)
        }
        other => other,
    };
    let conversion = converted(&samples::alert("ioc"), Some(&rule));
    let pattern =
        "[network-traffic:dst_ref.value = '203.0.113.7' AND network-traffic:dst_port = 8443]";
    assert_eq!(one(&conversion, "indicator")["pattern"], pattern);
    assert_eq!(one(&conversion, "indicator")["name"], "203.0.113.7:8443");
}

#[test]
fn an_unusable_ioc_leaves_the_incident_without_indicator() {
    for (kind, value) in [("hash", "abc"), ("ip_dst", "300.1.1.1"), ("", "x"), ("registry", "x")] {
        let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value)));
        assert!(none(&conversion, "indicator"));
        assert_eq!(left_out(&conversion), ["indicator"], "{kind} {value}");
    }
}

#[test]
fn a_rule_is_taken_from_the_alert_before_it_is_asked_for() {
    assert!(carried_intelligence(&samples::sigma_alert()).is_some());
    assert_eq!(wanted_intelligence(&samples::sigma_alert()), None);
    let uncarried = Alert { rule_content: None, ..samples::sigma_alert() };
    let wanted = Wanted::Sigma {
        rule_id: uncarried.rule_id.clone(),
        rule_name: uncarried.rule_name.clone(),
    };
    assert_eq!(wanted_intelligence(&uncarried), Some(wanted));
    let also_ioc = Alert { ioc_matches: samples::ioc_alert().ioc_matches, ..uncarried };
    assert_eq!(
        carried_intelligence(&also_ioc),
        None,
        "the match is of the process, not of the rule"
    );

    let listed = Alert {
        rule_content: Some(format!("hash,{},Vulnerable driver", samples::SHA256)),
        ..samples::alert("driver")
    };
    assert_eq!(one(&converted(&listed, None), "indicator")["name"], samples::SHA256);
    let kindless = IocMatch { source_id: None, kind: None, value: text("evil.exe") };
    let kindless = Alert { ioc_matches: vec![kindless], message: None, ..samples::alert("ioc") };
    assert_eq!(
        wanted_intelligence(&kindless),
        Some(Wanted::Ioc { kind: None, value: "evil.exe".to_owned() })
    );
}

#[test]
fn one_ioc_in_several_spellings_is_one_indicator_and_one_observable() {
    for [left, right] in [
        ["ip_dst 203.0.113.77/24", "ip_dst 203.0.113.1/255.255.255.0"],
        ["ip_both 2001:db8:0:0::7/128", "ip_both 2001:DB8::7"],
        ["domain_name Bücher.example", "domain_name xn--bcher-kva.example."],
        ["hash 0C1D2E3F405162738495A6B7C8D9EAFB", "hash 0c1d2e3f405162738495a6b7c8d9eafb"],
        ["url https://Evil.Example/a", "url HTTPS://evil.example./a"],
    ] {
        let [left, right] = [left, right].map(|text| {
            let (kind, value) = text.split_once(' ').unwrap();
            converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value)))
        });
        assert_eq!(one(&left, "indicator"), one(&right, "indicator"));
        assert_eq!(ends(&left, "based-on"), ends(&right, "based-on"));
    }
}

#[test]
fn the_kind_of_a_matched_ioc_stands_in_the_description_though_only_its_rule_tells_it() {
    let description = |alert: &Alert| {
        let conversion = converted(alert, Some(&samples::ioc("domain_name", "evil.example")));
        one(&conversion, "incident")["description"].as_str().unwrap().to_owned()
    };
    let row = "| Matched IOCs | `domain_name evil.example` |";
    let by_message = Alert { message: text("IOC: evil.example"), ..samples::alert("ioc") };
    assert!(description(&by_message).contains(row), "{}", description(&by_message));
    for kind in [None, text("domain_name")] {
        let found = IocMatch { source_id: None, kind, value: text("evil.example") };
        let alert = Alert { ioc_matches: vec![found], ..samples::alert("ioc") };
        assert!(description(&alert).contains(row), "{}", description(&alert));
    }
}
