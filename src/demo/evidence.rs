//! The evidence that a native alert carries beside its rule: one function a kind of finding, with
//! the blocks and field names that pushed alerts of each engine are known to have.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    hosts::{Host, fixed_id},
    processes::{dropped, scripted},
    random::Random,
    rules::{Ioc, hashes, ioc_driver, ioc_file_name},
};

/// A program that an IOC found.
pub(super) fn ioc_process(
    ioc: &Ioc,
    host: &Host,
    random: &mut Random,
    now: DateTime<Utc>,
) -> Value {
    let mut process = dropped(host.os_type).block(host, random, now);
    process["ioc_matches"] = json!([ioc.matched()]);
    json!({"process": process})
}

/// A file that an IOC found by its name, when it was written.
pub(super) fn written_file(host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
    let path = format!(r"C:\Users\Public\Downloads\{}", ioc_file_name().value);
    json!({
        "process": scripted(host.os_type).block(host, random, now),
        "details_windows_filesystem_event": {
            "target_filename": path,
            "written_file_hashes": hashes("a parcel notice"),
            "written_file_size": 88_064,
        },
        "detection": {"file_path": path, "file_hashes": hashes("a parcel notice")},
    })
}

/// A Windows event.
pub(super) fn event_log(host: &Host, now: DateTime<Utc>) -> Value {
    let (domain, name) = host.user.split_once('\\').unwrap_or(("", host.user));
    json!({"eventlog": {
        "log_type": "eventlog",
        "type": "wineventlog",
        "log_name": "Security",
        "source_name": "Microsoft-Windows-Eventlog",
        "event_id": 1102,
        "record_number": 70_412,
        "event_date": host.date(now - TimeDelta::milliseconds(900)),
        "computer_name": host.name,
        "level": "information",
        "keywords": ["Audit Success"],
        "user": {"name": name, "domain": domain, "identifier": host.sid, "type": "user"},
        "event_data": {},
        "user_data": {"SubjectUserName": name, "SubjectDomainName": domain},
    }})
}

/// A file that the antivirus found.
pub(super) fn antivirus(host: &Host, random: &mut Random) -> Value {
    let program = dropped(host.os_type);
    json!({
        "job_id": random.uuid(),
        "av_detection_details": {
            "signature_name": "Trojan.Demo.Fern",
            "signature_id": 4_100_027,
            "kind": "scan",
            "path": program.image(),
            "hashes": hashes(program.file),
            "file_type": "executable",
            "file_size": 448_000,
        },
        "detection": {"file_path": program.image(), "file_hashes": hashes(program.file)},
    })
}

/// A driver that was loaded.
pub(super) fn driver(host: &Host, now: DateTime<Utc>) -> Value {
    let path = r"C:\Windows\System32\drivers\ferndrv.sys";
    json!({
        "image_name": path,
        "detection": {"file_path": path, "file_hashes": hashes("a vulnerable driver")},
        "driverload": {
            "log_type": "driverload",
            "imagename": "ferndrv.sys",
            "imagepath": path,
            // Kernel addresses do not fit a signed 64-bit integer.
            "imagebase": 18_446_735_308_637_077_504_u64,
            "imagesize": 57_344,
            "size": 46_640,
            "hashes": hashes("a vulnerable driver"),
            "signed": true,
            "ioc_matches": [ioc_driver().matched()],
            "utc_time": host.date(now - TimeDelta::seconds(2)),
            "status": 0,
        },
    })
}

/// A firewall filter against the agent.
pub(super) fn self_protection(host: &Host, now: DateTime<Utc>) -> Value {
    json!({
        "execution": 4,
        "firewall_self_protection": {
            "eventtime_datetime": host.date(now - TimeDelta::seconds(1)),
            "filter_id": 271_001,
            "filter_name": "Block agent",
            "provider_name": "Cedar Demo Firewall",
            "provider_service_name": "mpssvc",
        },
    })
}

/// Several events of one session.
pub(super) fn correlation(host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
    let at = host.date(now - TimeDelta::seconds(20));
    let event = json!({
        "event_id": random.uuid(),
        "rule_id": fixed_id("correlation-part"),
        "is_standalone_rule": false,
        "timestamp": at,
    });
    json!({
        "process": scripted(host.os_type).block(host, random, now),
        "process_session": {
            "logon_type": 10,
            "logon_id": 1_001_744,
            "source_ip": "198.51.100.200",
            "source_port": 0,
            "source_hostname": "jump-01",
            "target_username": host.user.rsplit('\\').next(),
            "target_domain": host.domain,
            "target_sid": host.sid,
        },
        "correlation": {
            "start_timestamp": at,
            "end_timestamp": host.date(now - TimeDelta::seconds(1)),
            "is_group_by_process": true,
            "group_by_fields": [],
            "events": [event],
        },
    })
}
