//! Compares what becomes of texts of rules with the verdicts of pySigma and libyara. Those on the variants
//! stand beside them, as `scripts/rules.sh` recorded them; it also compares all rules in folders.

use std::{env, fs};

use harfanglab_incidents::{
    alert::intelligence::{Intelligence, YaraFile},
    convert::{ConvertSettings, RuleChecker, convert_alert},
};
use serde::Deserialize;

use crate::support::samples;

/// Variants of one rule.
#[derive(Deserialize)]
struct OfSigma {
    base: String,
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    what: String,
    from: String,
    to: String,
    accepted: bool,
    /// Set when the judge refuses it and we do not.
    #[serde(default)]
    missed: bool,
}

#[derive(Deserialize)]
struct OfYara {
    texts: Vec<YaraText>,
}

#[derive(Deserialize)]
struct YaraText {
    what: String,
    text: String,
    accepted: bool,
    #[serde(default)]
    missed: bool,
}

/// A rule of a folder, with the verdict of its judge.
#[derive(Deserialize)]
struct Judged {
    file: String,
    kind: String,
    text: String,
    accepted: bool,
    why: Option<String>,
}

/// Returns why no indicator is made of a text; `None` when one is.
fn refusal(kind: &str, text: &str) -> Option<String> {
    let (alert, rule) = if kind == "sigma" {
        (samples::sigma_alert(), samples::sigma(text))
    } else {
        let file =
            YaraFile { name: "a file".to_owned(), content: text.to_owned(), ..YaraFile::default() };
        (samples::yara_alert(), Intelligence::Yara(file))
    };
    let made = convert_alert(&alert, Some(&rule), &samples::never_seen(), &samples::settings());
    let why = made.left_out.into_iter().find(|it| it.what == "indicator").map(|it| it.why);
    assert_eq!(made.indicator.is_none(), why.is_some(), "{text}");
    why
}

fn compare(kind: &str, variants: impl Iterator<Item = (String, String, bool, bool)>) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (what, text, accepted, missed) in variants {
        let ours = refusal(kind, &text);
        count += 1;
        if ours.is_some() != (!accepted && !missed) {
            wrong.push(format!("{what}: accepted {accepted}, missed {missed}, ours {ours:?}"));
        }
    }
    assert!(count >= 60, "{count}");
    assert!(wrong.is_empty(), "of {count} variants of {kind}:\n{}", wrong.join("\n"));
}

#[test]
fn every_variant_of_a_sigma_rule_is_judged_as_by_pysigma_but_for_the_known_ones_that_pass() {
    let fixture = include_str!("../../fixtures/rules/sigma.json");
    let OfSigma { base, variants } = serde_json::from_str(fixture).unwrap();
    let variants = variants.into_iter().map(|it| {
        assert!(base.contains(&it.from), "{}", it.what);
        (it.what, base.replacen(&it.from, &it.to, 1), it.accepted, it.missed)
    });
    compare("sigma", variants);
}

#[test]
fn every_yara_text_is_judged_as_by_libyara_but_for_the_known_ones_that_pass() {
    let fixture = include_str!("../../fixtures/rules/yara.json");
    let OfYara { texts } = serde_json::from_str(fixture).unwrap();
    let texts = texts.into_iter().map(|it| (it.what, it.text, it.accepted, it.missed));
    compare("yara", texts);
}

#[test]
#[ignore = "compares what HARFANGLAB_INCIDENTS_TEST_RULES names; run by scripts/rules.sh"]
fn no_rule_of_a_folder_that_its_judge_accepts_is_refused() {
    let file = env::var("HARFANGLAB_INCIDENTS_TEST_RULES").unwrap();
    let judged = fs::read_to_string(file).unwrap();
    let judged = judged.lines().map(|line| serde_json::from_str::<Judged>(line).unwrap());
    let mut refused = Vec::new();
    let (mut count, mut alike, mut passes) = (0, 0, 0);
    for Judged { file, kind, text, accepted, why } in judged {
        let ours = refusal(&kind, &text);
        count += 1;
        match (accepted, ours) {
            (true, Some(ours)) => refused.push(format!("{file}: {ours}")),
            (false, None) => {
                passes += 1;
                println!("passes here: {file}: {}", why.unwrap_or_default());
            }
            (false, Some(_)) => alike += 1,
            (true, None) => {}
        }
    }
    println!("{count} rules: {alike} refused by both, {passes} pass here alone");
    assert!(refused.is_empty(), "{} of {count}:\n{}", refused.len(), refused.join("\n"));
}

#[test]
fn an_older_platform_gets_every_text_that_is_a_rule() {
    let external = "rule a { condition: filename == \"b\" }";
    let file = YaraFile { content: external.to_owned(), ..YaraFile::default() };
    let house = "id: SOC-0042\ntitle: a rule\nlogsource: {product: windows}\n\
                 detection: {a: {b: c}, condition: a}\n";
    for (alert, rule) in [
        (samples::yara_alert(), Intelligence::Yara(file)),
        (samples::sigma_alert(), samples::sigma(house)),
    ] {
        let sent_to = |rule_checker| {
            let settings = ConvertSettings { rule_checker, ..samples::settings() };
            convert_alert(&alert, Some(&rule), &samples::never_seen(), &settings)
                .indicator
                .is_some()
        };
        assert!(sent_to(RuleChecker::Lenient) && !sent_to(RuleChecker::Strict));
    }
}

#[test]
fn a_letter_that_yaml_of_old_takes_for_a_flag_is_a_text() {
    let rule = "title: y\nlogsource: {product: windows, definition: n}\n\
                detection: {a: {b: c}, condition: a}\n";
    assert_eq!(refusal("sigma", rule), None);
}

#[test]
fn a_global_document_completes_the_first_document_that_makes_a_rule_of_it() {
    let of = |text: &str| {
        let rule = samples::sigma(text);
        let made = convert_alert(
            &samples::sigma_alert(),
            Some(&rule),
            &samples::never_seen(),
            &samples::settings(),
        );
        let indicator = made.bundle.objects.into_iter().find(|it| it["type"] == "indicator");
        indicator.map(|it| it["name"].as_str().unwrap().to_owned())
    };
    let global = "action: global\ntitle: Whole rule\nlogsource: {product: x}\n\
                  detection: {a: {Image: b}, condition: a}\n";
    for (documents, found) in [
        (format!("{global}---\ndetection: {{a: {{Image: b}}}}\n"), true),
        (format!("{global}---\nlogsource: {{}}\n"), true),
        (format!("{global}---\nlogsource: none\n"), false),
        (format!("{global}---\ndetection:\n"), false),
        (format!("{global}---\njust text\n"), false),
        (format!("{global}---\nlogsource: none\n---\na: b\n"), true),
        (global.to_owned(), false),
    ] {
        assert_eq!(of(&documents).as_deref(), found.then_some("Whole rule"), "{documents}");
    }
}
