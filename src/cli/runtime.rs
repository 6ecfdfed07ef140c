//! The asynchronous runtime and the signals that end it.

use std::{process, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::log_queue;

/// Longest wait, at the end, for writes that block.
const BLOCKING_MAX: Duration = Duration::from_secs(1);
/// The signal of a file that would grow beyond `ulimit -f`, on Linux.
const FILE_TOO_LARGE: i32 = 25;
/// Exit code of a second signal: what was under way is in the journal.
const EXIT_AT_ONCE: i32 = 130;

/// Runs `work` on all cores. The first SIGTERM or SIGINT cancels the token that it gets, so that it
/// ends in order; a second one ends the process at once.
pub(super) fn run<W, T>(work: impl FnOnce(CancellationToken) -> W) -> anyhow::Result<T>
where
    W: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        // Taken, it ends nothing any more: the write fails instead, as on a full disk.
        let _taken = signal(SignalKind::from_raw(FILE_TOO_LARGE))
            .context("cannot take the signal of a file that is too large")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        tokio::spawn(watch(terminate, interrupt, stop.clone()));
        Ok(work(stop).await)
    });
    // A blocking write that hangs must not keep the process.
    runtime.shutdown_timeout(BLOCKING_MAX);
    result
}

async fn watch(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    let mut received = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let name = received().await;
    info!(signal = name, "stopping: what is under way may leave, the rest stays in the journal");
    stop.cancel();
    let name = received().await;
    warn!(signal = name, "stopped at once by a second signal");
    log_queue::flush();
    process::exit(EXIT_AT_ONCE);
}
