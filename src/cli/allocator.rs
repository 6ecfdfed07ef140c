//! Makes the allocator give large blocks of memory back.
//!
//! glibc takes a block of 128 KiB or more from the system and gives it back at once, until the first
//! such block is freed: from then on blocks of that size stay with the thread, and after some bodies of
//! 10 MiB every thread has 20 MiB that nobody uses. A threshold that is set never moves. It is read
//! when a program starts, from the environment, so that the program starts itself once more with it,
//! in the same process.

use std::{env, os::unix::process::CommandExt as _, process::Command};

/// The variable from which glibc reads the threshold.
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// Larger than what one alert usually takes, smaller than what is worth giving back.
const THRESHOLD_BYTES: &str = "262144";

/// Starts the program once more with a fixed threshold, unless it has one. Where that cannot be done,
/// it goes on: then it only keeps more memory than it needs.
pub(super) fn give_back_large_blocks() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let (Ok(program), Some(name)) = (env::current_exe(), env::args_os().next()) else { return };
    let mut again = Command::new(program);
    again.arg0(name).args(env::args_os().skip(1)).env(VARIABLE, THRESHOLD_BYTES);
    // It only returns when it failed.
    let _failure = again.exec();
}
