//! Certificates and keys in PEM form, from a file or as the text of an option. Files are bounded in size
//! and time.

use std::{
    io,
    path::{Path, PathBuf},
};

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument, der::pem::PemLabel};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::bounded_file;

/// Begins every PEM text.
const PEM_START: &str = "-----BEGIN";

/// Largest file that is read, in bytes. The authorities of a whole system take 250 KiB.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The reason for which a PEM file or text cannot be used. `place` is the option and the path.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error(
        "{place} cannot be read: {error}; name it by its full path and let the service's user read it"
    )]
    Unreadable {
        /// The option and the path.
        place: String,
        /// The system's reason.
        error: io::Error,
    },
    /// The text is no certificate.
    #[error("{place} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The option and the path.
        place: String,
    },
    /// A certificate cannot be used as an authority's.
    #[error("{place} holds a certificate that cannot be used: {error}")]
    Certificate {
        /// The option and the path.
        place: String,
        /// The fault in it.
        error: rustls::Error,
    },
    /// The text is no private key.
    #[error("{place} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey {
        /// The option and the path.
        place: String,
    },
    /// The key is encrypted and its passphrase is missing.
    #[error("the key in {place} is encrypted: {remedy}")]
    Encrypted {
        /// The option and the path.
        place: String,
        /// Advice for the operator.
        remedy: String,
    },
    /// The passphrase does not decrypt the key.
    #[error("{option} does not open the key in {place}: {error}")]
    Passphrase {
        /// The option that holds the passphrase.
        option: &'static str,
        /// The option and the path of the key.
        place: String,
        /// The fault.
        error: String,
    },
}

/// The source of a key's passphrase.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Passphrase<'a> {
    /// No option takes one: the key must not be encrypted.
    NotTaken,
    /// From this option, if it is set.
    Option(&'static str, Option<&'a SecretString>),
}

/// PEM text and the place it came from. The text may be a key: it is never shown.
pub(crate) struct Pem {
    place: String,
    text: Vec<u8>,
}

impl Pem {
    /// Reads the file that `option` names.
    pub(crate) fn file(option: &str, path: &Path) -> Result<Self, PemError> {
        let place = format!("{option} ({})", path.display());
        match bounded_file::read(PathBuf::from(path), FILE_MAX_BYTES, bounded_file::READ_TIMEOUT) {
            Ok(text) => Ok(Self { place, text }),
            Err(error) => Err(PemError::Unreadable { place, error }),
        }
    }

    /// Takes the text of `option` itself.
    pub(crate) fn text(option: &str, text: &str) -> Self {
        Self { place: option.to_owned(), text: text.as_bytes().to_vec() }
    }

    /// Takes the text itself where it is PEM, else reads the file of that path.
    pub(crate) fn text_or_file(option: &str, text_or_path: &str) -> Result<Self, PemError> {
        if text_or_path.trim_start().starts_with(PEM_START) {
            Ok(Self::text(option, text_or_path))
        } else {
            Self::file(option, Path::new(text_or_path))
        }
    }

    /// Returns a digest of the text.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.text).into()
    }

    /// The option and the path, for messages.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// Returns all certificates, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        CertificateDer::pem_slice_iter(&self.text)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| PemError::NoCertificate { place: self.place() })
    }

    /// Returns the first private key, decrypted where needed. A passphrase for a key that needs none is
    /// not used, as in OpenSSL.
    pub(crate) fn private_key(
        &self,
        passphrase: Passphrase<'_>,
    ) -> Result<PrivateKeyDer<'static>, PemError> {
        let text = String::from_utf8_lossy(&self.text);
        let is_pkcs8 =
            text.contains(&format!("-----BEGIN {}-----", EncryptedPrivateKeyInfoRef::PEM_LABEL));
        // The header of encrypted keys before PKCS #8 (RFC 1421), whose protection is weak.
        let is_old = text.contains("Proc-Type:") && text.contains("ENCRYPTED");
        let encrypted = |remedy: String| PemError::Encrypted { place: self.place(), remedy };
        match passphrase {
            Passphrase::NotTaken if is_pkcs8 || is_old => {
                Err(encrypted("decrypt it by `openssl pkey -in OLD -out NEW`".to_owned()))
            }
            Passphrase::Option(option, None) if is_pkcs8 => Err(encrypted(format!("set {option}"))),
            Passphrase::Option(option, Some(passphrase)) if is_pkcs8 => {
                let key = decrypt(&text, passphrase.expose_secret()).map_err(|error| {
                    PemError::Passphrase { option, place: self.place(), error: error.to_string() }
                })?;
                Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
            }
            Passphrase::Option(..) if is_old => Err(encrypted(
                "in OpenSSL's old format: convert it by `openssl pkcs8 -topk8 -in OLD -out NEW`"
                    .to_owned(),
            )),
            _ => PrivateKeyDer::from_pem_slice(&self.text)
                .map_err(|_unreadable| PemError::NoKey { place: self.place() }),
        }
    }
}

fn decrypt(text: &str, passphrase: &str) -> Result<SecretDocument, pkcs8::Error> {
    let (_label, document) = SecretDocument::from_pem(text.trim())?;
    EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())?.decrypt(passphrase)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_of_certificates_is_read_up_to_its_bound_and_not_beyond() {
        let certificate =
            rcgen::generate_simple_self_signed(["server.example".to_owned()]).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(certificate.cert.pem().as_bytes()).unwrap();
        // Latin-1, as in the comments of old bundles.
        file.write_all(b"# Autorit\xe9\n").unwrap();
        let read = |path: &Path| Pem::file("CA_OPTION", path)?.certificates();
        assert_eq!(read(file.path()).unwrap(), [certificate.cert.der().clone()]);

        file.as_file().set_len(FILE_MAX_BYTES + 1).unwrap();
        let path = file.path().display().to_string();
        for (too_large, named) in [(file.path(), &*path), (Path::new("/dev/zero"), "/dev/zero")] {
            let text = read(too_large).unwrap_err().to_string();
            assert!(text.contains("more than 4194304 bytes"), "{text}");
            assert!(text.contains("CA_OPTION") && text.contains(named), "{text}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_which_option_and_what_to_do() {
        let refusal = |text: &str, passphrase| {
            Pem::text("KEY_OPTION", text).private_key(passphrase).unwrap_err().to_string()
        };
        let with_option = Passphrase::Option("PASSPHRASE_OPTION", None);
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n";
        for (text, passphrase, said) in [
            (encrypted, with_option, "KEY_OPTION is encrypted: set PASSPHRASE_OPTION"),
            (encrypted, Passphrase::NotTaken, "KEY_OPTION is encrypted: decrypt it"),
            (old, with_option, "openssl pkcs8 -topk8"),
            (old, Passphrase::NotTaken, "KEY_OPTION is encrypted: decrypt it"),
            ("text", with_option, "KEY_OPTION holds no private key"),
        ] {
            let told = refusal(text, passphrase);
            assert!(told.contains(said), "{told}");
        }
    }
}
