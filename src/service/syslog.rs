//! The listener for syslog put together: its socket, its TLS, its verifier, and its tokens, which are
//! read again when their file changes and at SIGHUP. A broken file leaves the old tokens in force.
//!
//! Does not live here: what is done with a connection (`intake::syslog`), when the file is read
//! (`renewed`), the webhook's secrets (`secrets`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use super::{
    ServiceError, certificates,
    renewed::{Cause, follow},
    socket::{bind, not_listening},
};
use crate::{
    clock::Clock,
    config::{SyslogSettings, syslog_tokens},
    intake::{
        Door,
        syslog::{Listener, Parts, SyslogStanding},
        verification::SyslogVerifier,
    },
    tls,
};

const LISTEN: &str = "HARFANGLAB_INCIDENTS_SYSLOG_LISTEN";

/// The listener and who keeps its tokens and certificates current.
pub(super) struct Syslog {
    listener: Listener,
    _current: Vec<AbortOnDropHandle<()>>,
}

impl Syslog {
    pub(super) fn standing(&self) -> Arc<SyslogStanding> {
        self.listener.standing()
    }

    /// Reads no more, and waits until what was read is stored.
    pub(super) async fn close(&self) {
        self.listener.close().await;
    }
}

/// Binds and listens, when there is something to listen at.
///
/// # Errors
/// [`ServiceError`]; nothing is listened to then.
pub(super) fn open(
    settings: Option<&SyslogSettings>,
    door: &Door,
    clock: &Clock,
) -> Result<Option<Syslog>, ServiceError> {
    let Some(settings) = settings else { return Ok(None) };
    let verifier = SyslogVerifier::new(settings).ok_or(ServiceError::SyslogForAnybody)?;
    let verifier = Arc::new(ArcSwap::from_pointee(verifier));
    let tls = settings.tls.as_ref();
    let tls = tls.map(|tls| certificates::open(tls, tls::SYSLOG)).transpose()?;
    let (tls, certificates) = tls.unzip();
    let (listener, _bound) = bind(LISTEN, settings.listen)?;
    listener.set_nonblocking(true).map_err(not_listening(LISTEN, settings.listen))?;
    let parts = Parts {
        listener,
        verifier: Arc::clone(&verifier),
        door: door.clone(),
        clock: clock.clone(),
        tls,
    };
    let listener =
        Listener::open(parts, settings).map_err(not_listening(LISTEN, settings.listen))?;
    let tokens = keep_current(settings, verifier).map_err(ServiceError::Signal)?;
    let current = tokens.into_iter().chain(certificates).collect();
    Ok(Some(Syslog { listener, _current: current }))
}

/// Keeps `verifier` at what the tokens' file says; tokens that come from no file need nothing.
fn keep_current(
    settings: &SyslogSettings,
    verifier: Arc<ArcSwap<SyslogVerifier>>,
) -> std::io::Result<Option<AbortOnDropHandle<()>>> {
    let Some(file) = settings.token_file.clone() else { return Ok(None) };
    let hang_up = signal(SignalKind::hangup())?;
    let watching = watch(file, settings.clone(), verifier, hang_up);
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(watching))))
}

async fn watch(
    file: PathBuf,
    mut settings: SyslogSettings,
    verifier: Arc<ArcSwap<SyslogVerifier>>,
    hang_up: Signal,
) {
    let take = |tokens, cause| {
        replace(tokens, &mut settings, &verifier, cause);
        Ok(())
    };
    let complain = |fault: &str, _cause| {
        error!(%fault, "the tokens for syslog were not replaced; the ones before stay valid");
    };
    let path = file.clone();
    follow(file, hang_up, move || read(&path), take, complain).await;
}

fn read(file: &Path) -> Result<Vec<SecretString>, String> {
    syslog_tokens(file).map_err(|fault| fault.to_string())
}

fn replace(
    tokens: Vec<SecretString>,
    settings: &mut SyslogSettings,
    verifier: &ArcSwap<SyslogVerifier>,
    cause: Cause,
) {
    let known = settings.tokens.iter().map(ExposeSecret::expose_secret);
    if tokens.iter().map(ExposeSecret::expose_secret).eq(known) {
        if cause == Cause::Signal {
            info!("the tokens for syslog are the same as before");
        }
        return;
    }
    settings.tokens = tokens;
    if let Some(new) = SyslogVerifier::new(settings) {
        verifier.store(Arc::new(new));
        let count = settings.tokens.len();
        info!(count, "the tokens for syslog were replaced by what their file holds now");
    }
}
