//! An alert as the Elastic connector pushes it: ECS 9 fields, `event.kind: alert`, the rule as
//! `hlab.detection.title`, no id of any kind. The public field list names process fields only, so a
//! detection without a process carries host and rule alone.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::hosts::Host;

/// Makes the event of a native alert.
pub(super) fn alert(native: &Value, event_time: DateTime<Utc>) -> Value {
    let agent = &native["agent"];
    let mut event = json!({
        "@timestamp": event_time.to_rfc3339_opts(SecondsFormat::Micros, true),
        "ecs": {"version": "9.0.0"},
        "agent": {
            "type": "hurukai",
            "id": agent["agentid"],
            "name": agent["hostname"],
            "version": agent["version"],
        },
        "organization": {"id": native["tenant"]},
        "host": {
            "id": agent["agentid"],
            "hostname": agent["hostname"],
            "domain": agent["domainname"],
            "os": {
                "type": agent["ostype"],
                "version": agent["osversion"],
                "full": agent["osproducttype"],
            },
        },
        "event": {"kind": "alert", "category": ["malware"], "type": ["info"]},
        "hlab": {"detection": {
            "title": native["rule_name"],
            "level": native["level"],
            "confidence": native.get("confidence").cloned().unwrap_or_else(|| "moderate".into()),
            "engine": {"name": native["alert_type"]},
        }},
    });
    if let Some(ip) = agent.get("ipaddress") {
        event["host"]["ip"] = json!([ip]);
    }
    if let Some(process) = native.get("process") {
        event["process"] = ecs_process(process);
        event["user"] = json!({"name": process["username"]});
    }
    event
}

fn ecs_process(process: &Value) -> Value {
    let name = |path: &Value| -> Option<String> {
        path.as_str()?.rsplit(['\\', '/']).next().map(str::to_owned)
    };
    json!({
        "name": process["process_name"],
        "pid": process["pid"],
        "entity_id": process["process_unique_id"],
        "command_line": process["commandline"],
        "executable": process["image_name"],
        "user": {"name": process["username"], "id": process.get("usersid")},
        "hash": process["hashes"],
        "parent": {
            "name": name(&process["parent_image"]),
            "entity_id": process["parent_unique_id"],
            "command_line": process["parent_commandline"],
            "executable": process["parent_image"],
            "parent": {
                "entity_id": process["grandparent_unique_id"],
                "command_line": process["grandparent_commandline"],
                "executable": process["grandparent_image"],
            },
        },
    })
}

/// Returns what every ECS event of a host has; telemetry adds its own.
pub(super) fn of_host(host: &Host, event_time: DateTime<Utc>) -> Value {
    json!({
        "@timestamp": event_time.to_rfc3339_opts(SecondsFormat::Micros, true),
        "ecs": {"version": "9.0.0"},
        "agent": {
            "type": "hurukai",
            "id": host.agent_id(),
            "name": host.name,
            "version": host.agent_version,
        },
        "organization": {"id": "cedar-demo"},
        "host": {
            "id": host.agent_id(),
            "hostname": host.name,
            "domain": host.domain,
            "ip": [host.ip],
            "os": {
                "type": host.os_type,
                "version": host.os_version,
                "full": host.os_product,
            },
        },
    })
}
