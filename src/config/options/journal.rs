//! The durable store.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::{
    declare::{Field, settings},
    option::{OptionSpec, length, secret, size, text, whole},
    parse::Refusal,
    reader::{Read, Reader},
};

settings! { JOURNAL "The journal":
    /// The durable store.
    #[derive(Debug, Clone)]
    pub struct JournalSettings {
        /// The durable store; sqlite: and the path of a file, on a disk that outlives the container. For
        /// several replicas postgres://user@host/database, with these parameters of PostgreSQL's own
        /// clients: ?sslmode=verify-full checks authority and host of the server's certificate, verify-ca its
        /// authority, require only encrypts, prefer (as without it) does so where the server can, disable
        /// never; &sslrootcert= is the file with the authority, beside those of the system, or with the
        /// server's self-signed certificate, made with CA:FALSE; &sslcert= and &sslkey= are our own
        /// certificate. Unknown ones are refused.
        also HARFANGLAB_INCIDENTS_JOURNAL_URL:
            text("sqlite: followed by the path of a file, or the postgres:// URL of a database")
                .default("sqlite:harfanglab-incidents.db")
                .row("the journal's file, or `postgres://…` for \
                      [several replicas](deploy/README.md#several-replicas)");
        /// `sqlite:<path>`, or `postgres://…` without its password.
        url: String = from url_without_password;
        /// The password for PostgreSQL, if it is not in the URL.
        also HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD:
            secret("the password of the user in HARFANGLAB_INCIDENTS_JOURNAL_URL")
                .row("the password for PostgreSQL");
        /// `…_JOURNAL_PASSWORD`, or that of the URL.
        password: Option<SecretString> = from password;
        /// The most connections to PostgreSQL that each replica has, beside the one of the replica that
        /// leads.
        connections: u32 = HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS: whole(2, 100).default("8");
        /// Deliveries that may wait to be stored at once; above it 503.
        queue: usize = HARFANGLAB_INCIDENTS_JOURNAL_QUEUE: whole(1, 1_000_000).default("4096");
        /// The time for which the texts of what was delivered, filtered or superseded are kept; 0 keeps
        /// them. That it came stays known for 400 days more.
        retention: Duration = HARFANGLAB_INCIDENTS_JOURNAL_RETENTION: length("PT0S", "P3650D")
            .note("0 keeps them").default("P30D").row("how long texts of finished events are kept");
        /// The time for which dead letters are kept; 0 keeps them. A dead letter that nobody has looked at by
        /// then is dropped, with a warning.
        retention_dead: Duration = HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD: length("PT0S", "P3650D")
            .note("0 keeps them").default("P180D").row("how long dead letters are kept");
        /// Notifications of an unknown kind, without any mark of an alert or threat, that are kept as dead
        /// letters of each shape (the names of their fields) a day; the rest is counted. Each replica keeps
        /// as many.
        samples: usize = HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES: whole(0, 1_000)
            .note("notifications a shape and day").default("100")
            .row("how many of an unknown kind are kept a shape and day");
        /// Shapes a day of which samples are kept; others are counted.
        sample_shapes: usize = HARFANGLAB_INCIDENTS_JOURNAL_SAMPLE_SHAPES: whole(1, 1_000)
            .note("shapes a day").default("50");
        /// The size that the journal may grow to: bytes, or with KiB, MiB, GiB. At the bound the texts of
        /// samples of unknown kinds, then those of finished events, the oldest first, are removed, then
        /// follow-ups of delivered alerts end early; when none is left deliveries get 503 and the sweep
        /// pauses, until there is space again. 0: no bound. PostgreSQL's space is its own administrator's
        /// business: neither this nor the next counts there.
        max_size_bytes: u64 = HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE: space().default("20GiB");
        /// The space of the journal's disk that stays free; below it the same. 0: no bound.
        min_free_bytes: u64 = HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE: space().default("256MiB");
    }
}

const fn space() -> OptionSpec {
    size(0, 1 << 44, "a size up to 16384GiB: bytes, or a number followed by KiB, MiB or GiB; or 0")
}

fn url_without_password(reader: &mut Reader<'_>) -> Read<String> {
    reader.required(&HARFANGLAB_INCIDENTS_JOURNAL_URL, journal_url).map(|(url, _password)| url)
}

fn password(reader: &mut Reader<'_>) -> Read<Option<SecretString>> {
    let password = Option::<SecretString>::read(reader, &HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD);
    let of_url = reader.required(&HARFANGLAB_INCIDENTS_JOURNAL_URL, journal_url);
    Ok(password?.or(of_url?.1))
}

/// Parses the journal's address, and the password that stands in it.
fn journal_url(text: &str) -> Result<(String, Option<SecretString>), Refusal> {
    match text.split_once(':') {
        Some(("sqlite", address)) => sqlite_url(address).map(|()| (text.to_owned(), None)),
        Some(("postgres" | "postgresql", _)) => postgres_url(text),
        _ => Err("is not a journal that this version knows".to_owned()),
    }
}

/// Checks what stands behind the scheme. SQLite's parameters can put the journal in memory, or open it so
/// that nothing can be written.
fn sqlite_url(address: &str) -> Result<(), Refusal> {
    let (path, parameters) = address.split_once('?').unwrap_or((address, ""));
    if path.contains(":memory:") {
        return Err("keeps nothing when the service stops".to_owned());
    }
    if path.trim_start_matches('/').is_empty() {
        return Err("names no file".to_owned());
    }
    let is_harmless = |parameter: &&str| matches!(*parameter, "" | "mode=rwc" | "mode=rw");
    parameters.split('&').find(|parameter| !is_harmless(parameter)).map_or(Ok(()), |parameter| {
        Err(format!(
            "has the parameter {parameter}, with which the journal may keep nothing: write \
             sqlite:{path} (and %3F for a question mark in a file's name)"
        ))
    })
}

fn postgres_url(text: &str) -> Result<(String, Option<SecretString>), Refusal> {
    let mut url = url::Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if url.query_pairs().any(|(name, _)| name == "password" || name == "sslpassword") {
        return Err("has a password among its parameters, where it is no secret: give it as \
                    HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD, and the key of a certificate without one"
            .to_owned());
    }
    let password = url.password().map(|password| {
        let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy();
        SecretString::from(decoded.into_owned())
    });
    if url.host_str().is_none_or(str::is_empty)
        && !url.query_pairs().any(|(name, _)| name == "host")
    {
        return Err("names no host".to_owned());
    }
    // It has a host, so that it can be without a password, too.
    let _cannot_fail = url.set_password(None);
    Ok((url.into(), password))
}
