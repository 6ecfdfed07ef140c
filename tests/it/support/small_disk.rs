//! A real file system of a few MiB, to be filled.

use std::{path::Path, process::Command};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::{app::App, notifications::minimal_alert, skipped::skipped, stage::post};

/// A small file system of its own, which needs root: elsewhere the test is skipped, loudly.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of this size.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        skipped("a small disk cannot be mounted here; run the tests as root");
        None
    }

    /// Returns its folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it as large as this.
    pub(crate) fn grow(&self, size: &str) {
        self.remount(&format!("remount,size={size}"));
    }

    /// Lets nothing more be written.
    pub(crate) fn remount_read_only(&self) {
        self.remount("remount,ro");
    }

    fn remount(&self, options: &str) {
        let remounted = Command::new("mount").args(["-o", options]).arg(self.path()).status();
        assert!(remounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still open goes with its process.
        let _unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Posts until something cannot be stored; answers how many were acknowledged.
pub(crate) async fn acknowledged_until_full(app: &mut App) -> u64 {
    let url = app.webhook().await;
    for number in 0..5_000 {
        let (status, answer) = post(&url, &padded_alert(number)).await;
        match status {
            StatusCode::ACCEPTED => assert_eq!(answer["accepted"], 1),
            StatusCode::SERVICE_UNAVAILABLE => return number,
            other => panic!("{other}: {answer}"),
        }
    }
    panic!("it never was full");
}

/// Returns an alert of some 10 KB.
pub(crate) fn padded_alert(number: u64) -> Value {
    let mut alert = minimal_alert(&format!("alert-{number}"));
    alert["padding"] = "x".repeat(10_000).into();
    alert
}
