//! Telemetry: what the consoles push ten times as often as alerts, and nobody imports.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{ecs, hosts::Host, processes::scripted, random::Random};

/// A native event.
pub(super) fn native(host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
    let mut event = match random.below(3) {
        0 => {
            let program = scripted(host.os_type);
            let mut process = program.block(host, random, now);
            process["log_type"] = "process".into();
            process
        }
        1 => json!({
            "log_type": "network",
            "direction": "out",
            "saddr": host.ip,
            "sport": 40_000 + random.below(20_000),
            "daddr": "203.0.113.10",
            "dport": 443,
            // Older agents give this as text.
            "initiated": "true",
            "username": host.user,
            "pid": random.below(60_000),
        }),
        _ => json!({
            "log_type": "dns_resolution",
            "requested_name": "intranet.cedar.example",
            "query_type": "A",
            "status": "success",
            "ip_addresses": ["192.0.2.250"],
            "username": host.user,
            "pid": random.below(60_000),
        }),
    };
    event["@timestamp"] = host.date(now).into();
    event["@event_create_date"] = host.date(now).into();
    event["agent"] = host.agent();
    event["tenant"] = "cedar-demo".into();
    event
}

/// An ECS event.
pub(super) fn ecs(host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
    let mut event = ecs::of_host(host, now);
    match random.below(3) {
        0 => {
            let program = scripted(host.os_type);
            event["event"] = json!({"category": ["process"], "type": ["creation"]});
            event["process"] = json!({
                "name": program.name(),
                "pid": random.below(60_000),
                "executable": program.image(),
                "user": {"name": host.user},
            });
        }
        1 => {
            event["event"] = json!({"category": ["network"], "type": ["connection"]});
            event["source"] = json!({"ip": host.ip, "port": 40_000 + random.below(20_000)});
            event["destination"] = json!({"ip": "203.0.113.10", "port": 443});
        }
        _ => {
            event["event"] = json!({"category": ["network"], "type": ["protocol"]});
            event["dns"] = json!({"question": {"name": "intranet.cedar.example", "type": "A"}});
        }
    }
    event
}
