//! New secrets without a restart: the file they came from is read again when it changes and at
//! SIGHUP, and the verifier is replaced as a whole. What is wrong with a new file leaves the old
//! secrets in force.
//!
//! Of the endpoint's options only the secrets are read again; the others ask for a restart.
//!
//! Does not live here: when the file is read (`renewed`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::renewed::{Cause, follow};
use crate::{
    config::{WebhookSettings, webhook_secrets},
    intake::verification::Verifier,
    label::ConsoleLabel,
};

/// The endpoint's secrets and where they came from.
struct Secrets {
    file: PathBuf,
    settings: WebhookSettings,
    verifier: Arc<ArcSwap<Verifier>>,
}

/// Keeps `verifier` at what the secret's file says, until the answer is dropped. From now on SIGHUP
/// does not end the process.
///
/// # Errors
/// Fails when the system does not let us wait for SIGHUP.
pub(super) fn keep_current(
    settings: &WebhookSettings,
    verifier: Option<Arc<ArcSwap<Verifier>>>,
) -> std::io::Result<AbortOnDropHandle<()>> {
    let hang_up = signal(SignalKind::hangup())?;
    let endpoint = if verifier.is_some() { Endpoint::Open } else { Endpoint::Closed };
    let secrets = settings.secret_file.clone().zip(verifier).map(|(file, verifier)| Secrets {
        file,
        settings: settings.clone(),
        verifier,
    });
    let task = async move {
        match secrets {
            Some(secrets) => watch(secrets, hang_up).await,
            None => explain(hang_up, endpoint).await,
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(ConsoleLabel::current().on(task))))
}

async fn watch(mut secrets: Secrets, hang_up: Signal) {
    let (file, path) = (secrets.file.clone(), secrets.file.clone());
    let complain = |fault: &str, cause: Cause| {
        let cause = cause.name();
        error!(
            cause,
            %fault,
            "the webhook's secrets were not replaced; the ones before stay valid"
        );
    };
    let take = |read, cause| secrets.take(read, cause);
    follow(file, hang_up, move || read(&path), take, complain).await;
}

fn read(file: &Path) -> Result<Vec<SecretString>, String> {
    webhook_secrets(file).map_err(|fault| fault.to_string())
}

/// Answers SIGHUP for an endpoint without a file of secrets. Others may have one that is read now: of
/// these each says what became of its own.
async fn explain(mut hang_up: Signal, endpoint: Endpoint) {
    while hang_up.recv().await.is_some() {
        match endpoint {
            Endpoint::Open => warn!(
                "SIGHUP changes nothing about the webhook's secrets, since they come from no file; give \
                 them by HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE, or restart to change them"
            ),
            Endpoint::Closed => info!("SIGHUP: the endpoint is closed and has no secrets to renew"),
        }
    }
}

/// The state of the endpoint.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Open,
    Closed,
}

impl Secrets {
    /// Takes what was read, and tells what became of it.
    fn take(&mut self, secrets: Vec<SecretString>, cause: Cause) -> Result<(), String> {
        let replaced = self.replace(secrets)?;
        let cause_name = cause.name();
        match replaced {
            Replaced::Yes => {
                let count = self.settings.secrets.len();
                info!(cause = cause_name, count, "the webhook's secrets were replaced");
            }
            Replaced::No if cause == Cause::Signal => {
                info!(cause = cause_name, "the webhook's secrets are the same as before");
            }
            Replaced::No => {}
        }
        Ok(())
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

/// The outcome of reading the secrets again.
enum Replaced {
    Yes,
    No,
}
