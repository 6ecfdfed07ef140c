//! The servers that a client trusts. Where a file names their authorities, it can be read again: clients
//! that exist already trust from then on what it holds.
//!
//! Does not live here: when it is read again (`service`), the check itself (`tls`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, client::Resumption};
use tracing::warn;

use super::{error::ClientError, proxies::unquoted};
use crate::{
    config::TlsVerification,
    tls::{Pem, PemError, ServerCheck, Trusted},
};

/// The options that name a file of authorities; its path shows which one.
const FILE_OPTIONS: &str = "…_SSL_VERIFY or HTTPS_CA_CERTIFICATES";

/// The servers that a client trusts. Clones are renewed together.
#[derive(Debug, Clone)]
pub struct ServerTrust(Trust);

#[derive(Debug, Clone)]
enum Trust {
    /// Any server.
    All,
    /// Servers of the system's authorities and of those that the configuration names.
    Checked(Arc<ServerCheck>),
    /// The same, named by a file.
    OfFile(AuthorityFile),
}

/// The file that names authorities, and the check that follows it.
#[derive(Debug, Clone)]
pub(crate) struct AuthorityFile {
    path: PathBuf,
    /// The system's authorities, as they were at the start.
    system: Arc<Trusted>,
    known: [u8; 32],
    check: Arc<ServerCheck>,
}

impl ServerTrust {
    /// Trusts what `tls` names, and further authorities of the environment where it names none
    /// (`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`).
    ///
    /// # Errors
    /// [`ClientError`] when the authorities cannot be used, or there are none.
    pub fn new(tls: &TlsVerification) -> Result<Self, ClientError> {
        let mut trusted = Trusted::nobody();
        Ok(Self(match tls {
            TlsVerification::Off => Trust::All,
            TlsVerification::System => {
                trusted.add_system();
                add_authorities_of_environment(&mut trusted);
                Trust::Checked(check(trusted)?)
            }
            TlsVerification::CaPem(text) => {
                trusted.add(&Pem::text("HTTPS_CA_CERTIFICATES", text))?;
                trusted.add_system();
                Trust::Checked(check(trusted)?)
            }
            TlsVerification::CaFile(path) => {
                let pem = AuthorityFile::read(path)?;
                trusted.add_system();
                let check = check(trusted.with(&pem)?)?;
                let (path, known) = (path.clone(), pem.fingerprint());
                Trust::OfFile(AuthorityFile { path, system: Arc::new(trusted), known, check })
            }
        }))
    }

    /// Returns the same, or the system's authorities where any server is trusted.
    ///
    /// # Errors
    /// [`ClientError`] when the system has no authorities.
    pub fn at_least_system(&self) -> Result<Self, ClientError> {
        match &self.0 {
            Trust::All => Self::new(&TlsVerification::System),
            Trust::Checked(_) | Trust::OfFile(_) => Ok(self.clone()),
        }
    }

    /// Returns the file to follow, where one names the authorities.
    pub(crate) fn file(&self) -> Option<AuthorityFile> {
        match &self.0 {
            Trust::OfFile(file) => Some(file.clone()),
            Trust::All | Trust::Checked(_) => None,
        }
    }

    /// Returns TLS that connects to trusted servers only; `None`: to any.
    pub(super) fn config(&self) -> Option<ClientConfig> {
        let (check, resumption) = match &self.0 {
            Trust::All => return None,
            Trust::Checked(check) => (check, Resumption::default()),
            // A session that is resumed is not checked again, and the file may have changed.
            Trust::OfFile(file) => (&file.check, Resumption::disabled()),
        };
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(check) as _)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = resumption;
        Some(config)
    }
}

impl AuthorityFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`PemError::Unreadable`].
    pub(crate) fn read(path: &Path) -> Result<Pem, PemError> {
        Pem::file(FILE_OPTIONS, path)
    }

    /// Trusts what was read from now on, and tells whether that is anything new.
    ///
    /// # Errors
    /// [`ClientError`] when it cannot be used; what was trusted before stays.
    pub(crate) fn renew(&mut self, pem: &Pem) -> Result<Renewed, ClientError> {
        let fingerprint = pem.fingerprint();
        if fingerprint == self.known {
            return Ok(Renewed::Unchanged);
        }
        self.check.renew(self.system.with(pem)?).map_err(ClientError::Check)?;
        self.known = fingerprint;
        Ok(Renewed::Replaced)
    }
}

/// The outcome of reading a file of authorities again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// It holds others than before.
    Replaced,
    /// It holds the same as before.
    Unchanged,
}

fn check(trusted: Trusted) -> Result<Arc<ServerCheck>, ClientError> {
    if trusted.is_empty() {
        return Err(ClientError::NoAuthorities);
    }
    trusted.server_check().map_err(ClientError::Check)
}

/// Adds the authorities that `requests` takes. A path that was right in another connector's image may lead
/// nowhere in ours: that is told, and the system's authorities remain.
fn add_authorities_of_environment(trusted: &mut Trusted) {
    let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(|variable| {
        let path = std::env::var(variable).ok()?;
        let path = unquoted(&path);
        (!path.is_empty()).then(|| (variable, PathBuf::from(path)))
    });
    let Some((variable, path)) = named else { return };
    if let Err(error) = Pem::file(variable, &path).and_then(|pem| trusted.add(&pem)) {
        warn!(%error, variable, "{variable} is not used: {error}");
    }
}
