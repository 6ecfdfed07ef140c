//! Kinds of failures of a database, and what an operator does about them. The codes are those of SQLite's
//! manual ("Result and Error Codes"; the lowest eight bits tell the kind) and of PostgreSQL's ("PostgreSQL
//! Error Codes").

use sqlx::{Error, postgres::PgDatabaseError, sqlite::SqliteError};

/// SQLite's code of a damaged file.
const CORRUPT: u32 = 11;

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Nothing can be stored at the moment; with what to do about it.
    Storage(&'static str),
    /// The file is damaged, and nothing that is stored in it is safe; with what to do about it.
    Damage(&'static str),
    /// Two changes met, and this one gave way: it succeeds when it is made again.
    Conflict,
    /// The database works, but not with these values.
    Statement,
}

/// The kind of a failure.
pub(super) fn kind_of(error: &Error) -> FailureKind {
    match error {
        Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                sqlite(sqlx::error::DatabaseError::code(error).as_deref())
            } else if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                postgres(error.code())
            } else {
                FailureKind::Storage("check the database")
            }
        }
        Error::RowNotFound
        | Error::TypeNotFound { .. }
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnDecode { .. }
        | Error::Encode(_)
        | Error::Decode(_) => FailureKind::Statement,
        Error::PoolTimedOut => FailureKind::Storage(
            "check that the database runs, can be reached and is not overloaded, and that a pooler \
             before it has pool_mode = session",
        ),
        _ => FailureKind::Storage("check that the database runs and can be reached"),
    }
}

/// Returns whether a smaller change may succeed: the disk had no space for this one.
pub(super) fn lacks_space(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return error.code() == "53100";
    }
    // SQLITE_IOERR, which a full disk may be, and SQLITE_FULL.
    matches!(sqlite_kind(error.code().as_deref()), 10 | 13)
}

/// Returns whether a lock was waited for in vain.
pub(super) fn waited_in_vain(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| error.code() == "55P03")
}

fn sqlite_kind(code: Option<&str>) -> u32 {
    // SQLITE_IOERR_SHORT_READ: the file is shorter than what was written to it.
    if code == Some("522") {
        return CORRUPT;
    }
    primary_code(code).unwrap_or_default()
}

/// Returns the kind of a refusal of SQLite: the lowest eight bits of its code, as in its manual ("Result and
/// Error Codes").
pub(super) fn primary_code(code: Option<&str>) -> Option<u32> {
    Some(code?.parse::<u32>().ok()? & 0xff)
}

fn sqlite(code: Option<&str>) -> FailureKind {
    FailureKind::Storage(match sqlite_kind(code) {
        // Constraint, too big, mismatch, range.
        18..=20 | 25 => return FailureKind::Statement,
        // The second is SQLITE_NOTADB.
        CORRUPT | 26 => {
            return FailureKind::Damage(
                "the journal's file is damaged: stop the service, keep a copy of the file and of those \
                 that begin with its name, and put a backup in its place, or save what can be read with \
                 `sqlite3 FILE .recover`; then start it again",
            );
        }
        5 | 6 => "another process holds the journal locked: end it, or wait until it is done",
        8 => {
            "let the service's user write the journal's file and its folder, and check that the disk \
              is not mounted read-only"
        }
        10 => "check the disk that holds the journal, and whether it is full",
        13 => "free space on the disk that holds the journal",
        14 => "check that the journal's folder is there and writable, and its disk not full",
        _ => "check the journal's file and its disk",
    })
}

fn postgres(code: &str) -> FailureKind {
    FailureKind::Storage(match (code.get(..2).unwrap_or_default(), code) {
        // Serialization failure, deadlock.
        ("40", _) => return FailureKind::Conflict,
        // Data exception, constraint, program limit.
        ("22" | "23" | "54", _) => return FailureKind::Statement,
        (_, "53100") => "free space on the disk of the PostgreSQL server",
        (_, "53300") => {
            "raise max_connections of the PostgreSQL server, or lower \
             HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS"
        }
        ("53" | "58" | "XX", _) => "check disk and memory of the PostgreSQL server, and its log",
        // No prepared statement of this name, or another one.
        (_, "26000" | "42P05") => {
            "a pooler before PostgreSQL no longer keeps sessions: set pool_mode = session there"
        }
        (_, "25006") => "the PostgreSQL server only lets read: name the primary",
        ("55", _) | (_, "57014") => {
            "PostgreSQL is too slow, or another session holds a lock: check its load and pg_locks"
        }
        ("08" | "57", _) => "check that the PostgreSQL server runs",
        _ => "check the log of the PostgreSQL server",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_values_or_another_change_caused_is_no_failure_of_the_storage() {
        for (code, kind) in [("1555", FailureKind::Statement), ("2067", FailureKind::Statement)] {
            assert_eq!(sqlite(Some(code)), kind, "{code}");
        }
        for (code, kind) in [
            ("40001", FailureKind::Conflict),
            ("40P01", FailureKind::Conflict),
            ("23505", FailureKind::Statement),
            ("22021", FailureKind::Statement),
            ("54000", FailureKind::Statement),
        ] {
            assert_eq!(postgres(code), kind, "{code}");
        }
        assert_eq!(kind_of(&Error::RowNotFound), FailureKind::Statement);
    }

    #[test]
    fn a_full_disk_is_a_failure_of_the_storage_and_says_where_to_free_space() {
        let of = |kind| match kind {
            FailureKind::Storage(advice) => advice,
            other => panic!("{other:?}"),
        };
        assert!(
            of(sqlite(Some("13"))).starts_with("free space on the disk that holds the journal")
        );
        // SQLITE_IOERR_SHMSIZE: the file beside the journal could not grow.
        assert!(of(sqlite(Some("4874"))).contains("full"));
        assert!(of(postgres("53100")).starts_with("free space on the disk of the PostgreSQL"));
        assert!(matches!(sqlite(Some("522")), FailureKind::Damage(_)), "a file that was cut");
        for error in [Error::PoolTimedOut, Error::WorkerCrashed, Error::BeginFailed] {
            assert!(matches!(kind_of(&error), FailureKind::Storage(_)), "{error}");
        }
    }
}
