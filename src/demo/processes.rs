//! The `process` block of a native alert, with parent and grandparent, for each system.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    hosts::Host,
    random::Random,
    rules::{hashes, sha256},
};

/// A program and how it was started.
pub(super) struct Program {
    image: &'static str,
    command_line: &'static str,
    parent: (&'static str, &'static str),
    grandparent: (&'static str, &'static str),
    /// The invented file behind its hashes.
    pub(super) file: &'static str,
}

/// Started by hand or script: what the Sigma rules are about.
pub(super) fn scripted(os_type: &str) -> Program {
    match os_type {
        "windows" => Program {
            image: r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
            command_line: "powershell.exe -nop -w hidden -enc ZABlAG0AbwA=",
            parent: (r"C:\Program Files\Office\WINWORD.EXE", r#"WINWORD.EXE /n "invoice.docm""#),
            grandparent: (r"C:\Windows\explorer.exe", r"C:\Windows\Explorer.EXE"),
            file: "powershell",
        },
        "linux" => Program {
            image: "/usr/bin/dash",
            command_line: "sh -c 'id; uname -a'",
            parent: ("/usr/sbin/nginx", "nginx: worker process"),
            grandparent: ("/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx"),
            file: "dash",
        },
        _ => Program {
            image: "/usr/bin/security",
            command_line: "security find-generic-password -wa demo",
            parent: ("/bin/zsh", "zsh /Users/ines/Downloads/update.sh"),
            grandparent: ("/sbin/launchd", "/sbin/launchd"),
            file: "security",
        },
    }
}

/// Brought in from outside: what IOC and YARA rules find.
pub(super) fn dropped(os_type: &str) -> Program {
    match os_type {
        "windows" => Program {
            image: r"C:\Users\Public\Downloads\fern-setup.exe",
            command_line: r#""C:\Users\Public\Downloads\fern-setup.exe" /quiet"#,
            parent: (r"C:\Windows\explorer.exe", r"C:\Windows\Explorer.EXE"),
            grandparent: (r"C:\Windows\System32\userinit.exe", "userinit.exe"),
            file: "a dropped program",
        },
        "linux" => Program {
            image: "/tmp/.fern/agent",
            command_line: "/tmp/.fern/agent --daemon",
            parent: ("/usr/bin/bash", "bash -i"),
            grandparent: ("/usr/sbin/sshd", "sshd: runner [priv]"),
            file: "a dropped program",
        },
        _ => Program {
            image: "/Users/ines/Library/Fern/fern",
            command_line: "/Users/ines/Library/Fern/fern -q",
            parent: ("/sbin/launchd", "/sbin/launchd"),
            grandparent: ("/sbin/launchd", "/sbin/launchd"),
            file: "a dropped program",
        },
    }
}

impl Program {
    pub(super) fn image(&self) -> &'static str {
        self.image
    }

    /// Last part of the image's path.
    pub(super) fn name(&self) -> &'static str {
        self.image.rsplit(['\\', '/']).next().unwrap_or(self.image)
    }

    /// The block.
    pub(super) fn block(&self, host: &Host, random: &mut Random, now: DateTime<Utc>) -> Value {
        let mut block = json!({
            "log_type": "process",
            "process_unique_id": random.uuid(),
            "process_name": self.name(),
            "image_name": self.image,
            "commandline": self.command_line,
            "current_directory": if host.os_type == "windows" { r"C:\Windows\system32\" } else { "/" },
            "create_time": host.date(now - TimeDelta::milliseconds(1500)),
            "pid": random.below(60_000) + 100,
            "ppid": random.below(60_000) + 100,
            "username": host.user,
            "hashes": hashes(self.file),
            "size": 448_000,
            "signed": self.file != "a dropped program",
            "parent_image": self.parent.0,
            "parent_commandline": self.parent.1,
            "parent_unique_id": random.uuid(),
            "grandparent_image": self.grandparent.0,
            "grandparent_commandline": self.grandparent.1,
            "grandparent_unique_id": random.uuid(),
            "ancestors": format!("{}|{}", self.parent.0, self.grandparent.0),
            "ioc_matches": [],
            "status": 0,
        });
        if host.os_type == "windows" {
            block["usersid"] = host.sid.into();
            block["integrity_level"] = "Medium".into();
            block["parent_integrity_level"] = "Medium".into();
            block["logonid"] = (random.below(1_000_000_000) + 1).into();
            block["session"] = 2.into();
            block["pe_imphash"] = sha256(self.name())[..32].to_uppercase().into();
            block["pe_info"] = json!({
                "original_filename": self.name(),
                "company_name": "Cedar Demo Software",
                "file_version": "1.0.0.0",
            });
        }
        block
    }
}
