//! Files with secrets that other users of the machine may read. That is told and never refused: a
//! mounted secret often cannot have another mode.

use std::{
    fmt,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// The others who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    mode: u32,
    readers: Readers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    Everybody,
    /// The members of a group that this process is not in.
    Group(u32),
}

impl Exposure {
    /// That of the file which this path leads to; `None` also for what cannot be looked at, which is a
    /// fault of its own.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let mode = metadata.permissions().mode() & 0o7777;
        let readers = if mode & 0o004 != 0 {
            Readers::Everybody
        } else if mode & 0o040 != 0 && !is_ours(metadata.gid()) {
            Readers::Group(metadata.gid())
        } else {
            return None;
        };
        Some(Self { mode, readers })
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode;
        match self.readers {
            Readers::Everybody => write!(
                formatter,
                "can be read by every user of this machine (mode {mode:04o}): make it 0600, or 0640 with \
                 the service's group"
            ),
            Readers::Group(group) => write!(
                formatter,
                "can be read by the group {group}, which the service is not in (mode {mode:04o}): make it \
                 0600, or give it the service's group"
            ),
        }
    }
}

/// True for the groups of this process. Where they cannot be told, every group is taken for ours.
fn is_ours(group: u32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    groups_in(&status).any(|ours| ours == group)
}

/// The groups in `/proc/<pid>/status`: four of the process itself, and those that it has besides.
fn groups_in(status: &str) -> impl Iterator<Item = u32> {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("Gid:").or_else(|| line.strip_prefix("Groups:")))
        .flat_map(str::split_whitespace)
        .filter_map(|group| group.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_file_is_exposed_to_everybody_or_to_a_foreign_group_but_not_to_our_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "secret").unwrap();
        let readers = |mode: u32| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Exposure::of(&path).map(|exposure| exposure.readers)
        };
        for (mode, expected) in [
            (0o600, None),
            (0o400, None),
            (0o640, None),
            (0o440, None),
            (0o622, None),
            (0o444, Some(Readers::Everybody)),
            (0o604, Some(Readers::Everybody)),
        ] {
            assert_eq!(readers(mode), expected, "{mode:o}");
        }
        assert_eq!(Exposure::of(&folder.path().join("missing")), None);
    }

    #[test]
    fn the_groups_of_a_process_are_its_own_and_those_that_it_has_besides() {
        let status = "Name:\tx\nUid:\t9\t9\t9\t9\nGid:\t1000\t1000\t1000\t1000\nGroups:\t4 27 \n";
        assert_eq!(groups_in(status).collect::<Vec<_>>(), [1000, 1000, 1000, 1000, 4, 27]);
    }

    #[test]
    fn the_words_say_the_mode_and_the_remedy() {
        let exposure = Exposure { mode: 0o644, readers: Readers::Everybody };
        assert!(exposure.to_string().contains("every user of this machine (mode 0644)"));
        let exposure = Exposure { mode: 0o640, readers: Readers::Group(7) };
        assert!(
            exposure.to_string().contains("the group 7, which the service is not in (mode 0640)")
        );
    }
}
