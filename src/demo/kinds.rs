//! The kinds of alert: which engine found what on which system, by which rule, with which
//! evidence.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use strum::VariantArray;

use super::{
    evidence::{
        antivirus, correlation, driver, event_log, ioc_process, self_protection, written_file,
    },
    hosts::Host,
    processes::{dropped, scripted},
    random::Random,
    rules::{
        self, Ioc, SigmaRule, YARA_FILE, YARA_RULES, ioc_domain, ioc_driver, ioc_file_name,
        ioc_hash,
    },
};

/// A kind of alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Kind {
    /// Sigma rule on a process start.
    SigmaProcess,
    /// IOC: hash of a program.
    IocHash,
    /// YARA rules on a program.
    Yara,
    /// Sigma rule on a Windows event.
    SigmaEventLog,
    /// IOC: file name.
    IocFileName,
    /// HarfangLab's own antivirus.
    Antivirus,
    /// IOC: hash of a driver.
    IocDriver,
    /// Driver block list.
    Driver,
    /// IOC: domain.
    IocDomain,
    /// The agent defends itself.
    SelfProtection,
    /// Several events together.
    Correlation,
}

/// The part of an alert that is about its rule.
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) message: String,
    pub(super) level: &'static str,
    pub(super) tags: Value,
    pub(super) cells: Value,
    pub(super) content: Option<String>,
}

impl Kind {
    pub(super) fn happens_on(self, os_type: &str) -> bool {
        match self {
            Self::SigmaProcess | Self::IocHash | Self::Yara | Self::IocDomain | Self::Antivirus => {
                true
            }
            _ => os_type == "windows",
        }
    }

    pub(super) fn alert_type(self) -> &'static str {
        match self {
            Self::SigmaProcess | Self::SigmaEventLog => "sigma",
            Self::IocHash | Self::IocFileName | Self::IocDriver | Self::IocDomain => "ioc",
            Self::Yara => "yara",
            Self::Antivirus => "hurukaiav",
            Self::Driver => "driver",
            Self::SelfProtection => "selfprotection",
            Self::Correlation => "correlation",
        }
    }

    pub(super) fn alert_subtype(self) -> &'static str {
        match self {
            Self::SigmaEventLog => "eventlog",
            Self::Antivirus => "antivirus",
            Self::IocDriver | Self::Driver => "driverload",
            Self::SelfProtection => "firewall_self_protection",
            Self::Correlation => "correlation",
            _ => "process",
        }
    }

    pub(super) fn rule(self, os_type: &str) -> Rule {
        match self {
            Self::SigmaProcess => sigma(match os_type {
                "windows" => &rules::POWERSHELL,
                "linux" => &rules::WEB_SHELL,
                _ => &rules::KEYCHAIN,
            }),
            Self::SigmaEventLog => sigma(&rules::LOG_CLEARED),
            Self::Correlation => Rule { content: None, ..sigma(&rules::DISCOVERY) },
            Self::SelfProtection => Rule { content: None, ..sigma(&rules::FIREWALL) },
            Self::IocHash => ioc("IOC binary check", &ioc_hash(), "Binary", "hash="),
            Self::IocFileName => ioc("IOC file check", &ioc_file_name(), "File", "filename="),
            // This engine gives the bare value.
            Self::IocDriver => ioc("IOC driver check", &ioc_driver(), "Driver", ""),
            Self::IocDomain => ioc("IOC domain check", &ioc_domain(), "Domain", "domain_name="),
            Self::Yara => unlisted(
                "YARA binary check",
                "Binary was found malicious by 2 rule(s) with a score of 120",
                "high",
            ),
            Self::Antivirus => unlisted(
                "HarfangLab Antivirus Scan: Trojan.Demo.Fern",
                "File flagged as malicious by HarfangLab Antivirus scan",
                "high",
            ),
            Self::Driver => unlisted(
                "Recommended driver block list",
                &format!("driver hash={} is blacklisted, not blocked", ioc_driver().value),
                "critical",
            ),
        }
    }

    /// The fields that show what was found.
    pub(super) fn evidence(self, host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
        match self {
            Self::SigmaProcess => {
                let program = scripted(host.os_type);
                json!({"process": program.block(host, random, now), "image_name": program.image()})
            }
            Self::IocHash => ioc_process(&ioc_hash(), host, random, now),
            Self::IocDomain => {
                let mut evidence = ioc_process(&ioc_domain(), host, random, now);
                evidence["details_dns_resolution"] = json!({
                    "requested_name": ioc_domain().value,
                    "query_type": "A",
                    "ip_addresses": ["203.0.113.66"],
                    "status": "success",
                });
                evidence
            }
            Self::IocFileName => written_file(host, random, now),
            Self::Yara => {
                let mut process = dropped(host.os_type).block(host, random, now);
                process["matched_rules"] = YARA_RULES
                    .map(|rule| json!({"namespace": YARA_FILE, "rulename": rule, "source": "demo"}))
                    .into();
                process["matched_rules_count"] = YARA_RULES.len().into();
                process["score"] = 120.into();
                json!({"process": process})
            }
            Self::SigmaEventLog => event_log(host, now),
            Self::Antivirus => antivirus(host, random),
            Self::IocDriver | Self::Driver => driver(host, now),
            Self::SelfProtection => self_protection(host, now),
            Self::Correlation => correlation(host, random, now),
        }
    }
}

fn sigma(rule: &SigmaRule) -> Rule {
    Rule {
        name: rule.name.to_owned(),
        id: rule.id(),
        message: rule.description.to_owned(),
        level: rule.level,
        tags: rule.tags(),
        cells: rule.cells(),
        content: Some(rule.content()),
    }
}

fn ioc(name: &str, ioc: &Ioc, what: &str, prefix: &str) -> Rule {
    let message = format!("{what} was found malicious by an IOC: {prefix}{}", ioc.value);
    unlisted(name, &message, "high")
}

/// A rule that is named by its engine only: its id is its name.
fn unlisted(name: &str, message: &str, level: &'static str) -> Rule {
    Rule {
        name: name.to_owned(),
        id: name.to_owned(),
        message: message.to_owned(),
        level,
        tags: json!([]),
        cells: json!([]),
        content: None,
    }
}
