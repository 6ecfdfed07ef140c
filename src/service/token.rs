//! A renewed OpenCTI token without a restart: the file that `OPENCTI_TOKEN_FILE` names is read again
//! when it changes and at SIGHUP. What cannot be read leaves the token in force. Compared by content,
//! since a mounted secret changes behind a link whose own date does not.
//!
//! Does not live here: the webhook's secrets (`secrets`).

use std::{path::Path, time::Duration};

use secrecy::ExposeSecret;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config::{OpenCtiSettings, opencti_token},
    opencti::OpenCti,
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps the client's token at what the file says, until `stop`; a token that comes from no file
/// needs nothing.
///
/// # Errors
/// When the system does not let us wait for SIGHUP.
pub(super) fn keep_current(
    client: OpenCti,
    settings: OpenCtiSettings,
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = ()>> {
    let hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        stop.run_until_cancelled(watch(client, settings, hang_up)).await;
    })
}

async fn watch(client: OpenCti, mut settings: OpenCtiSettings, mut hang_up: Signal) {
    let Some(file) = settings.token_file.clone() else { return };
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Option<String> = None;
    loop {
        tokio::select! {
            Some(()) = hang_up.recv() => told = None,
            _ = look.tick() => {}
        }
        let path = file.clone();
        let read = tokio::task::spawn_blocking(move || read(&path));
        // It fails only when the process is ending.
        let Ok(read) = read.await else { return };
        let taken = read.and_then(|token| {
            if token.expose_secret() == settings.token.expose_secret() {
                return Ok(());
            }
            settings.token = token;
            client.replace_token(&settings).map_err(|failure| failure.to_string())?;
            info!("OPENCTI_TOKEN was replaced by what its file holds now");
            Ok(())
        });
        let fault = taken.err();
        if let Some(fault) = fault.as_ref().filter(|fault| told.as_ref() != Some(fault)) {
            error!(%fault, "OPENCTI_TOKEN was not replaced; the one before stays in use");
        }
        told = fault;
    }
}

fn read(file: &Path) -> Result<secrecy::SecretString, String> {
    opencti_token(file).map_err(|fault| fault.to_string())
}
