//! The binary as an operator runs it: commands, exit codes, and what goes to which stream.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use harfanglab_incidents::config::reference;
use serde_json::{Value, json};

/// The smallest environment that starts the service.
const ENOUGH: [(&str, &str); 5] = [
    ("OPENCTI_URL", "http://127.0.0.1:1"),
    ("OPENCTI_TOKEN", "opencti-token-s3cret"),
    ("CONNECTOR_ID", "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11"),
    ("HARFANGLAB_INCIDENTS_URL", "http://127.0.0.1:1"),
    ("HARFANGLAB_INCIDENTS_TOKEN", "console-token-s3cret"),
];

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the binary in `directory` with only this environment and this standard input.
fn run(directory: &Path, environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_harfanglab-incidents"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built with this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that does not read its input may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it is our child");
    let text = |bytes| String::from_utf8(bytes).expect("we print UTF-8");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

#[test]
fn wrong_configuration_exits_64_with_every_fault_on_stderr_whatever_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("HARFANGLAB_INCIDENTS_WEBHOOK_SECERT", "s3cret-s3cret")];
    for arguments in [&[][..], &["serve"], &["check"], &["config"]] {
        let ran = run(directory.path(), &environment, arguments, "");
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        assert!(ran.stderr.contains("6 faults"), "{}", ran.stderr);
        for part in [
            "OPENCTI_URL (opencti.url",
            "OPENCTI_TOKEN",
            "CONNECTOR_ID",
            "HARFANGLAB_INCIDENTS_URL",
            "HARFANGLAB_INCIDENTS_TOKEN",
            "did you mean HARFANGLAB_INCIDENTS_WEBHOOK_SECRET?",
        ] {
            assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}

#[test]
fn wrong_usage_exits_64_and_help_teaches_where_to_start() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["sevre"][..],
        &["--colour"],
        &["demo", "--count", "0"],
        &["demo", "--once", "--count", "3"],
    ] {
        let ran = run(directory.path(), &[], arguments, "");
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty());
    }
    let help = run(directory.path(), &[], &["--help"], "");
    assert_eq!(help.code, Some(0));
    for part in ["demo --count 20", "config reference", "Exit codes", "convert"] {
        assert!(help.stdout.contains(part), "{}", help.stdout);
    }
    let version = run(directory.path(), &[], &["--version"], "");
    let expected = concat!("harfanglab-incidents ", env!("CARGO_PKG_VERSION"), " (commit ");
    let commit = version.stdout.strip_prefix(expected).and_then(|rest| rest.strip_suffix(")\n"));
    assert_eq!(version.code, Some(0));
    assert!(commit.is_some_and(|commit| !commit.is_empty()), "{}", version.stdout);
}

#[test]
fn config_prints_values_with_their_sources_and_masks_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = "connector:\n  name: HarfangLab EDR\n  colour: red\n";
    fs::write(directory.path().join("config.yml"), file).unwrap();
    let secret = directory.path().join("webhook-secret");
    fs::write(&secret, "webhook-s3cret-0123456789\n").unwrap();
    let mut environment = ENOUGH.to_vec();
    let named = secret.to_str().unwrap();
    environment.push(("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE", named));

    let ran = run(directory.path(), &environment, &["config"], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in [
        "  name: \"HarfangLab EDR\"  # file config.yml\n",
        "  url: \"http://127.0.0.1:1\"  # environment, OPENCTI_URL\n",
        "  token: \"********\"  # environment, HARFANGLAB_INCIDENTS_TOKEN\n",
        &format!("  webhook_secret: \"********\"  # secret file {named}\n"),
        "  webhook_max_body: 10MiB  # default\n",
        "  # incident_name is not set\n",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` not in:\n{}", ran.stdout);
    }
    assert!(ran.stderr.contains("warning: config.yml: connector.colour"));
    assert!(!ran.stdout.contains("s3cret") && !ran.stderr.contains("s3cret"));

    let absent = run(directory.path(), &environment, &["config", "--config", "absent.yml"], "");
    assert_eq!(absent.code, Some(64));
    assert!(absent.stderr.contains("absent.yml"), "{}", absent.stderr);
}

#[test]
fn config_reference_prints_the_reference_without_any_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(directory.path(), &[], &["config", "reference"], "");
    assert_eq!((ran.code, ran.stdout), (Some(0), reference()));
}

#[test]
fn check_tells_for_each_party_what_is_wrong_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(directory.path(), &ENOUGH, &["check"], "");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for part in ["HarfangLab", "OpenCTI", "RabbitMQ", "endpoint"] {
        assert!(ran.stdout.contains(part), "{}", ran.stdout);
    }
    assert!(ran.stdout.contains("set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it"));
    assert!(!ran.stdout.contains("s3cret"), "{}", ran.stdout);
}

#[test]
fn a_service_that_cannot_start_says_so_as_a_log_line_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    let mut environment = ENOUGH.to_vec();
    // An address of the documentation range, which no machine has.
    environment.push(("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "192.0.2.1:9090"));
    let ran = run(directory.path(), &environment, &["serve"], "");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let last: Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["name"]), (&json!("ERROR"), &json!("HarfangLab Incidents")));
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN"), "{message}");
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
}

#[test]
fn convert_makes_the_same_bundle_of_an_alert_however_it_is_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let alert = json!({
        "alert_unique_id": "5f0c2a54-0c0e-4f7e-9a53-0d6c2f4f7b10",
        "alert_type": "sigma",
        "alert_time": "2026-03-04T05:06:07Z",
        "level": "high",
        "status": "new",
        "rule_name": "Suspicious Service Installed",
        "msg": "A service was installed",
        "agent": {"hostname": "WS-LEDGER-07"},
    });
    let environment = [("CONNECTOR_NAME", "Blue team")];
    let ran = run(directory.path(), &environment, &["convert"], &alert.to_string());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let bundle: Value = serde_json::from_str(&ran.stdout).unwrap();
    let named = |kind: &str| {
        let objects = bundle["objects"].as_array().unwrap();
        let object = objects.iter().find(|object| object["type"] == kind).unwrap();
        object["name"].clone()
    };
    assert_eq!(named("incident"), "Suspicious Service Installed on WS-LEDGER-07");
    assert_eq!(named("identity"), "Blue team", "the configuration counts");

    let file = directory.path().join("alert.json");
    fs::write(&file, json!({"alert": alert}).to_string()).unwrap();
    let arguments = ["convert", "--pretty", "--file", file.to_str().unwrap()];
    let ran = run(directory.path(), &environment, &arguments, "");
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), bundle);
    assert!(ran.stdout.lines().count() > 10, "{}", ran.stdout);
}

#[test]
fn convert_shows_the_bundle_as_a_tree_and_explains_what_is_missing_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let alert = json!({
        "alert_type": "sigma",
        "alert_unique_id": "5f0c2a54-0c0e-4f7e-9a53-0d6c2f4f7b10",
        "alert_time": "2026-03-04T05:06:07Z",
        "level": "high",
        "rule_name": "Suspicious Service Installed",
        "tags": ["attack.t1543.003", "attack.t9999", "attack.evading"],
        "agent": {"hostname": "WS-LEDGER-07", "ipaddress": "192.0.2.7"},
    });
    let told = |arguments: &[&str]| {
        let ran = run(directory.path(), &[], arguments, &alert.to_string());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        ran.stdout
    };
    let tree = told(&["convert", "--summary"]);
    let branches = "incident Suspicious Service Installed on WS-LEDGER-07 (high, 2026-03-04T05:06:07.000Z)\n\
                    ├─ targets system WS-LEDGER-07\n\
                    └─ uses technique T1543.003 Windows Service\n";
    assert!(tree.starts_with(branches), "{tree}");
    let explained = told(&["convert", "--explain"]);
    assert!(explained.contains("asks the console for the Sigma rule Suspicious Service Installed"));
    assert!(explained.contains("Left out: attack-pattern: T9999"), "{explained}");
    assert!(explained.contains("Left out: tactic: evading"), "{explained}");
    assert!(explained.contains("nothing that OpenCTI is known to refuse"), "{explained}");
    assert_eq!(told(&["convert", "--summary", "--explain"]), tree + &explained);
}

#[test]
fn convert_explains_where_an_indicator_comes_from_or_why_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let explained = |own: Value| {
        let mut alert = json!({
            "alert_type": "ioc",
            "alert_unique_id": "5f0c2a54-0c0e-4f7e-9a53-0d6c2f4f7b10",
            "alert_time": "2026-03-04T05:06:07Z",
            "level": "high",
            "msg": "Something was found.",
            "rule_name": "A rule",
            "agent": {"hostname": "WS-LEDGER-07"},
        });
        alert.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let ran = run(directory.path(), &[], &["convert", "--explain"], &alert.to_string());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        ran.stdout
    };
    let house_rule = "title: House rule\nid: SOC-1\nlogsource: {product: linux}\n\
                      detection: {a: {Image: b}, condition: a}\n";
    let made = "The indicator is made from what the alert says.";
    let none = "No indicator and no sighting: ";
    let refused = "Left out: indicator: OpenCTI would refuse the rule House rule: id SOC-1 is no UUID; \
                   correct the rule to get its indicator and sightings.\n";
    for (own, begins, says) in [
        (
            json!({"ioc_matches": [{"type": "url", "value": "hxxp://evil"}, {"value": "evil.exe"}]}),
            made,
            "Left out: indicator: the alert does not say which type of IOC evil.exe is; ",
        ),
        (
            json!({"msg": "found by an IOC: 203.0.113.7"}),
            made,
            "asks the console for the IOC 203.0.113.7.\n",
        ),
        (
            json!({"msg": "found by an IOC: evil.exe"}),
            none,
            "adds both if the console has it. It asks the console for the IOC evil.exe.\n",
        ),
        (json!({"alert_type": "hlai"}), none, "the alert names no IOC, Sigma, YARA or correlation"),
        (
            json!({"alert_type": "sigma", "rule_name": "House rule", "rule_content": house_rule}),
            "Left out: indicator: ",
            refused,
        ),
    ] {
        let explained = explained(own);
        assert!(explained.starts_with(begins) && explained.contains(says), "{explained}");
        let is_of_checker = explained.contains("Rules are checked here");
        assert_eq!(is_of_checker, says == refused, "{explained}");
    }
}

#[test]
fn convert_says_why_it_cannot_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, input, words) in [
        (&["convert"][..], "not json", "not one JSON value"),
        (&["convert"], "{}", "connection test"),
        (&["convert"], r#"{"log_type": "process"}"#, "telemetry (process)"),
        (&["convert"], "[1]", "neither an alert nor a threat"),
        (&["convert", "--file", "absent.json"], "", "absent.json"),
    ] {
        let ran = run(directory.path(), &[], arguments, input);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(words), "{}", ran.stderr);
    }
    let faulty = [("HARFANGLAB_INCIDENTS_DEFAULT_SCORE", "high")];
    let ran = run(directory.path(), &faulty, &["convert"], "{}");
    assert_eq!(ran.code, Some(64), "{}", ran.stderr);
}
