//! New secrets without a restart: the file they came from is read again when it changes and at
//! SIGHUP, and the verifier is replaced as a whole. What is wrong with a new file leaves the old
//! secrets in force.
//!
//! The file is compared by content, since mounted secrets change behind a link whose own date does
//! not. Only secrets are read again; every other option asks for a restart.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::{
    config::{WebhookSettings, webhook_secrets},
    intake::verification::Verifier,
    label::ConsoleLabel,
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Somebody asked for it and wants an answer in the log.
    Signal,
    /// It is time to look.
    Look,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Look => "the file changed",
        }
    }
}

/// The endpoint's secrets and where they came from.
struct Secrets {
    file: PathBuf,
    settings: WebhookSettings,
    verifier: Arc<ArcSwap<Verifier>>,
    told: Option<String>,
}

/// Keeps `verifier` at what the secret's file says, until the answer is dropped. From now on SIGHUP
/// does not end the process.
///
/// # Errors
/// When the system does not let us wait for SIGHUP.
pub(super) fn keep_current(
    settings: &WebhookSettings,
    verifier: Option<Arc<ArcSwap<Verifier>>>,
) -> std::io::Result<AbortOnDropHandle<()>> {
    let hang_up = signal(SignalKind::hangup())?;
    let secrets = settings.secret_file.clone().zip(verifier).map(|(file, verifier)| Secrets {
        file,
        settings: settings.clone(),
        verifier,
        told: None,
    });
    let task = async {
        match secrets {
            Some(secrets) => watch(secrets, hang_up).await,
            None => explain(hang_up).await,
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(ConsoleLabel::current().on(task))))
}

async fn watch(mut secrets: Secrets, mut hang_up: Signal) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let cause = tokio::select! {
            Some(()) = hang_up.recv() => Cause::Signal,
            _ = look.tick() => Cause::Look,
        };
        let file = secrets.file.clone();
        let read = tokio::task::spawn_blocking(move || {
            webhook_secrets(&file).map_err(|fault| fault.to_string())
        });
        // It fails only when the process is ending.
        let Ok(read) = read.await else { return };
        secrets.take(read, cause);
    }
}

async fn explain(mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        warn!(
            "SIGHUP reads the webhook's secrets again, but they come from no file; give them by \
             HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE, or restart to change them"
        );
    }
}

impl Secrets {
    /// Takes what was read, and tells once what became of it.
    fn take(&mut self, read: Result<Vec<SecretString>, String>, cause: Cause) {
        let replaced = read.and_then(|secrets| self.replace(secrets));
        let cause_name = cause.name();
        match replaced {
            Ok(Replaced::Yes) => {
                let count = self.settings.secrets.len();
                info!(cause = cause_name, count, "the webhook's secrets were replaced");
            }
            Ok(Replaced::No) if cause == Cause::Signal => {
                info!(cause = cause_name, "the webhook's secrets are the same as before");
            }
            Ok(Replaced::No) => {}
            Err(fault) => {
                if cause == Cause::Signal || self.told.as_ref() != Some(&fault) {
                    error!(
                        cause = cause_name,
                        %fault,
                        "the webhook's secrets were not replaced; the ones before stay valid"
                    );
                }
                self.told = Some(fault);
                return;
            }
        }
        self.told = None;
    }

    fn replace(&mut self, secrets: Vec<SecretString>) -> Result<Replaced, String> {
        let are_known = secrets.iter().map(ExposeSecret::expose_secret).eq(self
            .settings
            .secrets
            .iter()
            .map(ExposeSecret::expose_secret));
        if are_known {
            return Ok(Replaced::No);
        }
        let settings = WebhookSettings { secrets, ..self.settings.clone() };
        let verifier = Verifier::new(&settings)
            .map_err(|unusable| unusable.to_string())?
            .ok_or("the file holds no secret")?;
        self.verifier.store(Arc::new(verifier));
        self.settings = settings;
        Ok(Replaced::Yes)
    }
}

/// Whether there were other secrets than before.
enum Replaced {
    Yes,
    No,
}
