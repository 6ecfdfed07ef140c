//! Tells the binary which commit it is built from: `HARFANGLAB_INCIDENTS_COMMIT` where the builder
//! says it (a container build has no history), else what git says, else `unknown`. Builds for
//! development say `development`: asking git again at each commit would compile everything anew.

use std::process::Command;

/// What a release is made of: a change there may make the tree differ from its commit.
const SOURCES: [&str; 4] = ["build.rs", "Cargo.lock", "Cargo.toml", "src"];

fn main() {
    println!("cargo::rerun-if-env-changed=HARFANGLAB_INCIDENTS_COMMIT");
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    let told = std::env::var("HARFANGLAB_INCIDENTS_COMMIT").ok();
    let told = told.filter(|commit| !commit.trim().is_empty());
    let commit = told.or_else(found).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=HARFANGLAB_INCIDENTS_COMMIT={}", commit.trim());
}

/// The commit, as far as this build can tell by itself.
fn found() -> Option<String> {
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return Some("development".to_owned());
    }
    // Grows with every commit, also in a linked work tree, where it lies elsewhere than in `.git`.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

/// What a git command prints; `None` when it fails or says nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
