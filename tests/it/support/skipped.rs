//! Telling that something is not tested here, because this machine lacks what it takes: the test passes,
//! and nobody may take that for more than it is.

use std::{fs::OpenOptions, io::Write as _};

/// The file that also gets a line for each; `scripts/test.sh` sets it and prints it at its end.
const LIST: &str = "HARFANGLAB_INCIDENTS_TEST_SKIPPED";

/// Says what is not tested, and why.
pub(crate) fn skipped(what: &str) {
    println!("SKIPPED: {what}");
    let Some(list) = std::env::var_os(LIST) else { return };
    let list = OpenOptions::new().create(true).append(true).open(list);
    // In one piece: other tests write to it at the same time.
    list.unwrap().write_all(format!("{what}\n").as_bytes()).unwrap();
}
