//! The invented estate: six hosts of three systems, whose agents are of three generations, and each
//! host's threat. Names, users and addresses are ours; addresses are from the documentation ranges.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// From which generation of console a host's alerts look: fields and date forms differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// 3.x: through Logstash, integer threat keys, no rule text.
    Third,
    /// 4.x: dates with an offset, rule text.
    Fourth,
    /// 5.x.
    Fifth,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) os_type: &'static str,
    pub(super) os_product: &'static str,
    pub(super) os_version: &'static str,
    product_type: &'static str,
    pub(super) agent_version: &'static str,
    pub(super) ip: &'static str,
    pub(super) domain: &'static str,
    dns_domain: &'static str,
    pub(super) user: &'static str,
    pub(super) sid: Option<&'static str>,
}

/// The estate.
pub(super) static HOSTS: [Host; 6] = [
    Host {
        name: "WS-LEDGER-07",
        os_type: "windows",
        os_product: "Windows 11 Pro",
        os_version: "10.0.22631",
        product_type: "workstation",
        agent_version: "5.7.29",
        ip: "192.0.2.17",
        domain: "CEDAR",
        dns_domain: "corp.cedar.example",
        user: r"CEDAR\m.okafor",
        sid: Some("S-1-5-21-3011457123-2204981177-1730012255-1107"),
    },
    Host {
        name: "WS-SALES-12",
        os_type: "windows",
        os_product: "Windows 10 Enterprise",
        os_version: "10.0.19045",
        product_type: "workstation",
        agent_version: "4.13.24",
        ip: "192.0.2.44",
        domain: "CEDAR",
        dns_domain: "corp.cedar.example",
        user: r"CEDAR\t.lindqvist",
        sid: Some("S-1-5-21-3011457123-2204981177-1730012255-1142"),
    },
    Host {
        name: "SRV-FILES-01",
        os_type: "windows",
        os_product: "Windows Server 2019 Standard",
        os_version: "10.0.17763",
        product_type: "server",
        agent_version: "3.2.9",
        ip: "198.51.100.5",
        domain: "CEDAR",
        dns_domain: "corp.cedar.example",
        user: r"NT AUTHORITY\SYSTEM",
        sid: Some("S-1-5-18"),
    },
    Host {
        name: "edge-proxy-02",
        os_type: "linux",
        os_product: "Debian GNU/Linux 12",
        os_version: "6.1.0-18-amd64",
        product_type: "server",
        agent_version: "5.6.48",
        ip: "203.0.113.20",
        domain: "cedar.example",
        dns_domain: "dmz.cedar.example",
        user: "www-data",
        sid: None,
    },
    Host {
        name: "build-runner-05",
        os_type: "linux",
        os_product: "Ubuntu 22.04.4 LTS",
        os_version: "5.15.0-101-generic",
        product_type: "server",
        agent_version: "4.9.8",
        ip: "198.51.100.61",
        domain: "cedar.example",
        dns_domain: "ci.cedar.example",
        user: "runner",
        sid: None,
    },
    Host {
        name: "studio-mac-03",
        os_type: "macos",
        os_product: "macOS 14.5",
        os_version: "23.5.0",
        product_type: "workstation",
        agent_version: "5.12.30",
        ip: "192.0.2.80",
        domain: "cedar.example",
        dns_domain: "studio.cedar.example",
        user: "ines",
        sid: None,
    },
];

/// An id that is the same in every run.
pub(super) fn fixed_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{name}.demo.cedar.example").as_bytes()).to_string()
}

impl Host {
    /// `agentid`.
    pub(super) fn agent_id(&self) -> String {
        fixed_id(self.name)
    }

    pub(super) fn generation(&self) -> Generation {
        match self.agent_version.as_bytes() {
            [b'3', ..] => Generation::Third,
            [b'4', ..] => Generation::Fourth,
            _ => Generation::Fifth,
        }
    }

    /// A date as this host's generation writes it.
    pub(super) fn date(&self, time: DateTime<Utc>) -> String {
        match self.generation() {
            Generation::Third => time.to_rfc3339_opts(SecondsFormat::Nanos, true),
            Generation::Fourth => time.to_rfc3339_opts(SecondsFormat::Millis, false),
            Generation::Fifth => time.to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }

    /// `agent` of a native alert.
    pub(super) fn agent(&self) -> Value {
        let mut agent = json!({
            "agentid": self.agent_id(),
            "hostname": self.name,
            "domainname": self.domain,
            "dnsdomainname": self.dns_domain,
            "ostype": self.os_type,
            "osversion": self.os_version,
            "osproducttype": self.os_product,
            "version": self.agent_version,
            "additional_info": {},
        });
        match self.generation() {
            Generation::Third => {
                agent["domain"] = Value::Null;
                agent["distroid"] = Value::Null;
            }
            Generation::Fourth => {}
            Generation::Fifth => {
                agent["ipaddress"] = self.ip.into();
                agent["producttype"] = self.product_type.into();
            }
        }
        agent
    }

    /// The item of `endpoint/Agent`.
    pub(super) fn agent_item(&self) -> Value {
        let mut item = self.agent();
        item["id"] = self.agent_id().into();
        item["ipaddress"] = self.ip.into();
        item["status"] = "online".into();
        item
    }

    /// `threat_key` of this host's alerts: a number before 4.9, a UUID since.
    pub(super) fn threat_key(&self) -> Value {
        match self.generation() {
            Generation::Third => 2971.into(),
            Generation::Fourth | Generation::Fifth => {
                fixed_id(&format!("threat-{}", self.name)).into()
            }
        }
    }

    /// The same as text, as URLs have it.
    pub(super) fn threat_id(&self) -> String {
        match self.threat_key() {
            Value::String(id) => id,
            number => number.to_string(),
        }
    }

    /// The item of `alert/alert/Threat`, with the local offset that consoles give its dates.
    pub(super) fn threat_item(&self, now: DateTime<Utc>) -> Value {
        let local = chrono::FixedOffset::east_opt(3600).map(|zone| now.with_timezone(&zone));
        let date = local.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, false));
        json!({
            "id": self.threat_key(),
            "slug": format!("THREAT-{}", self.name),
            "status": "new",
            "level": "high",
            "creation_date": date,
            "first_seen": date,
            "last_seen": date,
            "last_update": date,
            "total_security_event_count": 1,
            "security_event_count_by_level": {"critical": 0, "high": 1, "medium": 0, "low": 0},
            "mitre_tactics": ["execution"],
            "top_agents": [{
                "agent_id": self.agent_id(),
                "agent_hostname": self.name,
                "agent_ostype": self.os_type,
            }],
            "top_impacted_users": [{"user_name": self.user, "user_sid": self.sid}],
            "top_rules": [{"rule_name": "Shell Started by a Web Server", "rule_level": "high"}],
        })
    }

    /// Returns whether an analyst has written a note on this host's threat.
    pub(super) fn has_note(&self) -> bool {
        self.generation() == Generation::Fifth
    }

    /// That note.
    pub(super) fn note(&self, now: DateTime<Utc>) -> Value {
        json!({
            "title": format!("{} under watch", self.name),
            "content": "Owner reached, reinstallation planned.",
            "creation_date": self.date(now),
            "last_update": self.date(now + TimeDelta::minutes(5)),
        })
    }
}
