//! The invented rules behind the alerts: Sigma rules, one YARA file, IOCs; as an alert names them
//! and as the API shows them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{hosts::fixed_id, store::Collection};

/// A Sigma (or correlation) rule.
#[derive(Debug)]
pub(super) struct SigmaRule {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) level: &'static str,
    pub(super) technique: &'static str,
    pub(super) tactic: &'static str,
    os: &'static str,
    selection: &'static str,
}

/// One rule on process starts for each system.
pub(super) const POWERSHELL: SigmaRule = SigmaRule {
    name: "PowerShell Started with an Encoded Command",
    description: "PowerShell was given its command in base64, which hides it from a casual reader.",
    level: "medium",
    technique: "t1059.001",
    tactic: "execution",
    os: "windows",
    selection: "CommandLine|contains: ' -enc'",
};

/// Linux.
pub(super) const WEB_SHELL: SigmaRule = SigmaRule {
    name: "Shell Started by a Web Server",
    description: "A web server started a shell, which a web shell does and a web site seldom.",
    level: "high",
    technique: "t1505.003",
    tactic: "persistence",
    os: "linux",
    selection: "ParentImage|endswith: '/nginx'",
};

/// macOS.
pub(super) const KEYCHAIN: SigmaRule = SigmaRule {
    name: "Keychain Read from a Script",
    description: "A script asked the keychain for a password.",
    level: "high",
    technique: "t1555.001",
    tactic: "credential-access",
    os: "macos",
    selection: "CommandLine|contains: 'find-generic-password'",
};

/// Windows event log.
pub(super) const LOG_CLEARED: SigmaRule = SigmaRule {
    name: "Security Event Log Cleared",
    description: "Somebody emptied the Security event log.",
    level: "high",
    technique: "t1070.001",
    tactic: "defense-evasion",
    os: "windows",
    selection: "EventID: 1102",
};

/// Several events together.
pub(super) const DISCOVERY: SigmaRule = SigmaRule {
    name: "Several Discovery Commands within a Minute",
    description: "One process asked for users, network and processes of the host in a row.",
    level: "medium",
    technique: "t1082",
    tactic: "discovery",
    os: "windows",
    selection: "Image|endswith: '\\\\systeminfo.exe'",
};

/// The agent protects itself.
pub(super) const FIREWALL: SigmaRule = SigmaRule {
    name: "Firewall Rule against the Agent Removed",
    description: "A firewall rule that kept the agent from its console was found and removed.",
    level: "critical",
    technique: "t1562.004",
    tactic: "defense-evasion",
    os: "windows",
    selection: "EventID: 5157",
};

impl SigmaRule {
    /// The Sigma id, the same in every run.
    pub(super) fn id(&self) -> String {
        fixed_id(&format!("sigma-{}", self.name))
    }

    /// `tags` of an alert.
    pub(super) fn tags(&self) -> Value {
        let tactic = self.tactic.replace('-', "_");
        json!([format!("attack.{tactic}"), format!("attack.{}", self.technique)])
    }

    /// `mitre_cells` of an alert.
    pub(super) fn cells(&self) -> Value {
        json!([format!("{}__{}", self.tactic, self.technique)])
    }

    /// The YAML text.
    pub(super) fn content(&self) -> String {
        let Self { name, description, level, os, technique, selection, .. } = self;
        let (id, tactic) = (self.id(), self.tactic.replace('-', "_"));
        format!(
            "title: {name}\nid: {id}\ndescription: {description}\nstatus: stable\nlevel: {level}\n\
             date: 2026/01/15\ntags:\n  - attack.{tactic}\n  - attack.{technique}\nlogsource:\n  \
             product: {os}\n  category: process_creation\ndetection:\n  selection:\n    \
             {selection}\n  condition: selection\n"
        )
    }

    fn item(&self) -> Value {
        json!({
            "id": self.id(),
            "rule_id": self.id(),
            "name": self.name,
            "rule_name": self.name,
            "content": self.content(),
            "source_id": fixed_id("sigma-source"),
            "hl_status": "stable",
            "enabled": true,
            "references": ["https://rules.cedar.example/sigma"],
            "rule_technique_tags": [format!("attack.{}", self.technique)],
            "rule_tactic_tags": [format!("attack.{}", self.tactic.replace('-', "_"))],
            "creation_date": "2026-01-15T09:00:00.000000Z",
            "last_update": "2026-02-01T09:00:00.000000Z",
        })
    }
}

/// Name of the YARA file, which a binary alert gives as `namespace`.
pub(super) const YARA_FILE: &str = "cedar_loader.yar";
/// Its rules.
pub(super) const YARA_RULES: [&str; 2] = ["cedar_loader_strings", "cedar_loader_imports"];

fn yara_item() -> Value {
    let rules = YARA_RULES.map(|name| {
        format!("rule {name} {{ strings: $a = \"cedar-loader\" ascii condition: $a }}\n")
    });
    json!({
        "id": fixed_id("yara-file"),
        "name": YARA_FILE,
        "content": rules.concat(),
        "rule_names": YARA_RULES,
        "rule_technique_tags": ["attack.t1105"],
        "source_id": fixed_id("yara-source"),
        "hl_status": "stable",
        "enabled": true,
        "creation_date": "2026-01-20T09:00:00Z",
        "last_update": "2026-01-21T09:00:00Z",
    })
}

/// An IOC's `type` and `value`.
pub(super) struct Ioc {
    pub(super) kind: &'static str,
    pub(super) value: String,
}

/// A program's hash.
pub(super) fn ioc_hash() -> Ioc {
    Ioc { kind: "hash", value: sha256("a dropped program") }
}

/// A driver's hash.
pub(super) fn ioc_driver() -> Ioc {
    Ioc { kind: "hash", value: sha256("a vulnerable driver") }
}

/// A file name.
pub(super) fn ioc_file_name() -> Ioc {
    Ioc { kind: "filename", value: "parcel-notice.scr".to_owned() }
}

/// A domain.
pub(super) fn ioc_domain() -> Ioc {
    Ioc { kind: "domain_name", value: "sync.fern-updates.example".to_owned() }
}

impl Ioc {
    /// One of `ioc_matches`.
    pub(super) fn matched(&self) -> Value {
        json!({"source_id": fixed_id("ioc-source"), "type": self.kind, "value": self.value})
    }

    fn item(&self) -> Value {
        json!({
            "id": fixed_id(&format!("ioc-{}", self.value)),
            "type": self.kind,
            "value": self.value,
            "description": "From the demo's own campaign report",
            "comment": null,
            "source_id": fixed_id("ioc-source"),
            "hl_status": "stable",
            "enabled": true,
            "creation_date": "2026-02-10T08:00:00Z",
            "last_update": "2026-02-11T08:00:00Z",
        })
    }
}

/// Every rule, as the API shows it.
pub(super) fn all() -> Vec<(Collection, Value)> {
    let sigma = [&POWERSHELL, &WEB_SHELL, &KEYCHAIN, &LOG_CLEARED, &FIREWALL];
    let iocs = [ioc_hash(), ioc_driver(), ioc_file_name(), ioc_domain()];
    let sigma = sigma.into_iter().map(|rule| (Collection::SigmaRules, rule.item()));
    let iocs = iocs.into_iter().map(|ioc| (Collection::IocRules, ioc.item()));
    let others =
        [(Collection::CorrelationRules, DISCOVERY.item()), (Collection::YaraFiles, yara_item())];
    sigma.chain(iocs).chain(others).collect()
}

/// A hash of something that does not exist.
pub(super) fn sha256(of: &str) -> String {
    hex::encode(Sha256::digest(format!("cedar demo: {of}")))
}

/// Hashes of an invented file. MD5 and SHA-1 only have their lengths: there is no file to hash.
pub(super) fn hashes(sha256_of: &str) -> Value {
    let sha256 = sha256(sha256_of);
    json!({"md5": sha256[..32], "sha1": sha256[..40], "sha256": sha256})
}
