//! Claims and ends as the database itself saw them: a trigger of the test writes down every change of
//! an event's lease and state, in the transaction that makes it.

use sqlx::{Connection as _, PgConnection, Row as _};

/// Put into the journal's schema once its tables are there.
const TRIGGER: [&str; 4] = [
    "CREATE TABLE audit (
        number BIGINT GENERATED ALWAYS AS IDENTITY, event BIGINT, key TEXT, follows BIGINT,
        was TEXT, is_now TEXT, lease_before BIGINT, lease BIGINT, attempts BIGINT,
        at_ms BIGINT DEFAULT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint)",
    "CREATE INDEX audit_of_event ON audit (event, number)",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit (event, key, follows, was, is_now, lease_before, lease, attempts)
        VALUES (NEW.id, NEW.key, NEW.follows, OLD.state, NEW.state, OLD.leased_until,
            NEW.leased_until, NEW.attempts);
        RETURN NEW; END $$",
    "CREATE TRIGGER noted AFTER UPDATE OF state, leased_until, attempts ON events
        FOR EACH ROW EXECUTE FUNCTION note()",
];

/// The changes that were seen.
#[derive(Debug)]
pub(super) struct Audit {
    pub(super) claims: i64,
    /// Claims of what another claim still had on paper: its lease had run out.
    pub(super) taken_over: i64,
    /// Those of them before that lease had run out.
    pub(super) too_early: i64,
    /// Claims of a version while an earlier one of the same alert had not ended.
    pub(super) out_of_order: i64,
}

/// Begins to write down.
pub(super) async fn begin(journal: &str) {
    let mut connection = PgConnection::connect(journal).await.unwrap();
    for statement in TRIGGER {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
}

/// Returns what was seen until now. Of a lease that begins, the time before is less exact than a moment: the
/// replica's clock is read before its statement runs.
pub(super) async fn read(journal: &str) -> Audit {
    let mut connection = PgConnection::connect(journal).await.unwrap();
    let seen = sqlx::query(
        "WITH claims AS (SELECT a.*, b.attempts AS attempts_before FROM audit a
            LEFT JOIN LATERAL (SELECT attempts FROM audit b WHERE b.event = a.event
                AND b.number < a.number ORDER BY b.number DESC LIMIT 1) b ON TRUE
            WHERE a.lease IS NOT NULL AND a.attempts > COALESCE(b.attempts, 0))
        SELECT COUNT(*),
            COUNT(*) FILTER (WHERE lease_before IS NOT NULL),
            COUNT(*) FILTER (WHERE lease_before > at_ms),
            COUNT(*) FILTER (WHERE follows IS NULL AND EXISTS (
                SELECT 1 FROM events older WHERE older.key = claims.key AND older.follows IS NULL
                AND older.id < claims.event AND NOT EXISTS (SELECT 1 FROM audit ended
                    WHERE ended.event = older.id AND ended.number < claims.number
                    AND ended.is_now <> 'pending')))
        FROM claims",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    Audit {
        claims: seen.get(0),
        taken_over: seen.get(1),
        too_early: seen.get(2),
        out_of_order: seen.get(3),
    }
}
