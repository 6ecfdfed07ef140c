//! A renewed OpenCTI token without a restart: the file that `OPENCTI_TOKEN_FILE` names is read again
//! when it changes and at SIGHUP. What cannot be read leaves the token in force.
//!
//! Does not live here: when the file is read (`renewed`), the webhook's secrets (`secrets`).

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::renewed::follow;
use crate::{
    config::{OpenCtiSettings, opencti_token},
    opencti::OpenCti,
};

/// Keeps the client's token at what the file says, until `stop`; a token that comes from no file
/// needs nothing.
///
/// # Errors
/// Fails when the system does not let us wait for SIGHUP.
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

async fn watch(client: OpenCti, mut settings: OpenCtiSettings, hang_up: Signal) {
    let Some(file) = settings.token_file.clone() else { return };
    let take = |token: SecretString, _cause| {
        if token.expose_secret() == settings.token.expose_secret() {
            return Ok(());
        }
        settings.token = token;
        client.replace_token(&settings).map_err(|failure| failure.to_string())?;
        info!("OPENCTI_TOKEN was replaced by what its file holds now");
        Ok(())
    };
    let complain = |fault: &str, _cause| {
        error!(%fault, "OPENCTI_TOKEN was not replaced; the one before stays in use");
    };
    let path = file.clone();
    follow(file, hang_up, move || read(&path), take, complain).await;
}

fn read(file: &Path) -> Result<SecretString, String> {
    opencti_token(file).map_err(|fault| fault.to_string())
}
