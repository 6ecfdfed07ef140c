//! Processes of an alert: the one it is about, its parent and its grandparent.

use chrono::{DateTime, Utc};

use super::{Binary, Hashes};

/// The process an alert is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    /// `pid`.
    pub pid: Option<i64>,
    /// `process_name`, else the last part of the image path.
    pub name: Option<String>,
    /// `image_name`: full path of the image.
    pub image_path: Option<String>,
    /// `commandline`.
    pub command_line: Option<String>,
    /// `current_directory`.
    pub current_directory: Option<String>,
    /// `create_time`.
    pub created: Option<DateTime<Utc>>,
    /// Hashes of the image.
    pub hashes: Hashes,
    /// `size` of the image in bytes.
    pub size_bytes: Option<u64>,
    /// Signature and version resource of the image.
    pub binary: Binary,
    /// `username` as given (`DOMAIN\user`).
    pub username: Option<String>,
    /// `usersid`.
    pub user_sid: Option<String>,
    /// `integrity_level`.
    pub integrity_level: Option<String>,
    /// `process_unique_id`.
    pub unique_id: Option<String>,
    /// The parent process, when anything of it is known.
    pub parent: Option<ParentProcess>,
    /// The grandparent process, when anything of it is known.
    pub grandparent: Option<ParentProcess>,
    /// `ancestors`: image paths as the agent lists them, the parent first.
    pub ancestors: Vec<String>,
}

/// A parent or grandparent process, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParentProcess {
    /// `ppid` (parent only).
    pub pid: Option<i64>,
    /// `parent_image` / `grandparent_image`.
    pub image_path: Option<String>,
    /// `parent_commandline` / `grandparent_commandline`.
    pub command_line: Option<String>,
    /// `parent_integrity_level` / `grandparent_integrity_level` (`Low`, `Medium`, `High`, …).
    pub integrity_level: Option<String>,
    /// `parent_unique_id` / `grandparent_unique_id`.
    pub unique_id: Option<String>,
}
