//! The meaning of PostgreSQL's refusals for an operator, and which of them may pass in a moment.
//!
//! Does not live here: what an address itself has wrong (`address`).

use crate::{
    journal::error::JournalError,
    tls::{Peer, Remedies, failure_in, remedy},
};

/// PostgreSQL in advice on TLS.
const PEER: Peer = Peer {
    name: "the server",
    authorities: "sslrootcert",
    unchecked: "",
    remedies: Remedies::Own {
        other_host: "name the host as the certificate does, or set sslmode=verify-ca to look at its authority \
                 only",
        client_certificate: "the server does not trust our certificate: check sslcert and sslkey",
        no_tls: "the server does not speak TLS as we do: check its ssl_min_protocol_version and ciphers",
    },
};

const UNREACHABLE: &str = "check host, port, database and sslmode in it, and that the server runs";

const ABSENT: &str = "make the database first: CREATE DATABASE … OWNER …";

/// Connections share sessions of the server.
#[derive(Debug, thiserror::Error)]
#[error("a pooler before it hands out its sessions by transaction or by statement")]
pub(super) struct SharedSession;

/// Returns whether it may be otherwise in a moment: the server is not there yet, starts, or stops.
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => failure_in(error).is_none(),
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code == "53300")
        }
        _ => false,
    }
}

pub(super) fn schema_failed(error: sqlx::migrate::MigrateError) -> JournalError {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => unusable(&error),
        other => JournalError::Migration(other),
    }
}

/// The refusal with what to do about it. The codes are those of PostgreSQL's manual ("PostgreSQL Error
/// Codes").
pub(super) fn unusable(error: &sqlx::Error) -> JournalError {
    if let sqlx::Error::Configuration(shared) = error
        && shared.is::<SharedSession>()
    {
        return JournalError::Address(format!(
            "PostgreSQL cannot be used: {shared}, and replicas would be without a leader; set \
             pool_mode = session for this database there (PgBouncer) and keep its server_reset_query \
             (DISCARD ALL), or name the server itself"
        ));
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let remedy = match (code.as_deref(), error) {
        (Some("28P01"), _) => {
            "check the user in it, HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD, and pg_hba.conf of the server"
        }
        (Some("28000"), _) => {
            "check the user in it and pg_hba.conf of the server; where that demands TLS, set \
             sslmode=verify-full, and where it demands a certificate, sslcert and sslkey"
        }
        (Some("3D000"), _) => ABSENT,
        (Some("42501"), _) => "let the user make tables: GRANT CREATE ON SCHEMA public TO …",
        (Some("42P01"), _) => "there is no journal in this database yet; start the service once",
        (Some("08P01"), _) => pooler_remedy(&error.to_string()),
        (Some("53300"), _) => {
            "raise max_connections of the server, or lower HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS"
        }
        (None, sqlx::Error::Tls(_)) => {
            "set ssl = on in postgresql.conf of the server; sslmode=disable does without TLS, where \
             the way to it is trusted"
        }
        (None, sqlx::Error::Io(io)) => match failure_in(io) {
            Some(failure) => {
                let remedy = remedy(failure, &PEER);
                return JournalError::Address(format!(
                    "PostgreSQL cannot be used: {error}; {remedy}"
                ));
            }
            None => UNREACHABLE,
        },
        _ => UNREACHABLE,
    };
    JournalError::Address(format!("PostgreSQL cannot be used: {error}; {remedy}"))
}

/// Returns the remedy for a refusal by `PgBouncer`, which gives all of its own, and the server's, this code.
fn pooler_remedy(refusal: &str) -> &'static str {
    if refusal.contains("startup parameter") {
        "a pooler before it takes no such parameter: leave it out of the address, or let the pooler \
         pass over it (PgBouncer's ignore_startup_parameters)"
    } else if refusal.contains("does not exist") {
        ABSENT
    } else {
        "check the log of the pooler before it, and that the pooler knows this database and user \
         ([databases] and auth_file of PgBouncer)"
    }
}
