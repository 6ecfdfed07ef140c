//! Paths that every machine of an operating system has. What unrelated hosts share says nothing of an
//! alert, and would tie its case to all others.

/// Folders of programs that Windows brings along, behind the drive.
const WINDOWS_PROGRAMS: [&str; 5] = [
    r"\windows\system32\",
    r"\windows\syswow64\",
    r"\windows\systemapps\",
    r"\windows\winsxs\",
    r"\windows\microsoft.net\",
];
/// Folders of programs that Linux or macOS brings along.
const UNIX_PROGRAMS: [&str; 8] = [
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/libexec/",
    "/lib/",
    "/system/",
];
/// Folders below the system's own into which anybody may write.
const WRITABLE: [&str; 3] =
    [r"\system32\spool\drivers\color\", r"\system32\tasks\", r"\syswow64\tasks\"];
/// Other folders that every machine has, behind the drive.
const COMMON_FOLDERS: [&str; 21] = [
    "",
    r"\windows",
    r"\windows\temp",
    r"\program files",
    r"\program files\common files",
    r"\program files (x86)",
    r"\program files (x86)\common files",
    r"\programdata",
    r"\users",
    r"\users\public",
    "/etc",
    "/home",
    "/lib",
    "/opt",
    "/root",
    "/tmp",
    "/usr",
    "/usr/local/bin",
    "/users",
    "/var",
    "/var/tmp",
];

/// Returns whether a program at this path is one of the operating system's own.
pub(super) fn is_system_program(path: &str) -> bool {
    let path = comparable(path);
    // Programs that lie in the folder of Windows itself, and not in one below it.
    let of_windows = path.strip_prefix(r"\windows\").is_some_and(|name| !name.contains('\\'));
    let is_below = |folder: &&str| path.starts_with(*folder);
    let is_writable = WRITABLE.iter().any(|folder| path.contains(folder));
    (of_windows || WINDOWS_PROGRAMS.iter().chain(&UNIX_PROGRAMS).any(is_below)) && !is_writable
}

/// Returns whether every machine of an operating system has this folder.
pub(super) fn is_common_folder(path: &str) -> bool {
    let folder = comparable(path.trim_end_matches(['\\', '/']));
    COMMON_FOLDERS.contains(&folder.as_str())
        || is_system_program(&format!("{folder}{}x", separator(path)))
}

fn separator(path: &str) -> char {
    if path.starts_with('/') { '/' } else { '\\' }
}

/// The path in lower case, without its drive.
fn comparable(path: &str) -> String {
    let path = path.to_lowercase();
    match path.split_once(':') {
        Some((drive, rest)) if drive.len() == 1 => rest.to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_machine_has_is_told_from_what_somebody_put_there() {
        for path in [
            r"C:\Windows\System32\svchost.exe",
            r"c:\WINDOWS\explorer.exe",
            r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
            "/usr/bin/bash",
            "/System/Library/CoreServices/Finder.app/Contents/MacOS/Finder",
        ] {
            assert!(is_system_program(path), "{path}");
        }
        for path in [
            r"C:\Windows\Temp\a.exe",
            r"C:\Windows\System32\spool\drivers\color\a.exe",
            r"C:\Users\ada\a.exe",
            r"C:\Program Files\a\a.exe",
            "/tmp/a",
            "/usr/local/bin/a",
            "a.exe",
        ] {
            assert!(!is_system_program(path), "{path}");
        }
        for path in [r"C:\", r"C:\WINDOWS\system32", r"C:\Users\Public", "/", "/tmp", "/usr/bin"]
            .into_iter()
            .chain([r"C:\Program Files\Common Files"])
        {
            assert!(is_common_folder(path), "{path}");
        }
        for path in [r"C:\Users\ada", r"C:\ProgramData\a", "/tmp/a", "/home/ada"] {
            assert!(!is_common_folder(path), "{path}");
        }
    }
}
