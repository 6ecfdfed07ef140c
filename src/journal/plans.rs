//! Tests how the databases answer what the service asks them all the time, on a journal that has much: every
//! statement that the road sends is written down and explained, so that a new index, column or statement
//! that makes one walk over a whole table does not pass unseen.
//!
//! Does not live here: which index SQLite chooses where it has the choice (`sqlite::plans`).

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use tempfile::TempDir;

use super::{
    AlertName, CaseObjects, CaseStanding, DeadLetterFilter, FollowUp, Journal, LostWork,
    MissingEnrichment, Outcome, PostgresDatabase, PruneBefore, Refusal, Removable, RuleRefusal,
    SightingFlag, SqliteDatabase, WorkPart,
    database::{noted::noted, statement::Value},
};
use crate::{
    alert::{IncidentIdentity, SeenIndicator, Sighted},
    intake::{Notification, dialect::Dialect, verification::Proof},
};

const CONSOLE: &str = "https://console.example";
const LEASE: Duration = Duration::from_mins(5);
/// More than any plan of a few rows survives.
const ROWS: u32 = 20_000;

/// Tables that grow with the journal. Of refusals there is a bounded number.
const TABLES: [&str; 10] = [
    "events",
    "incidents",
    "remembered",
    "sightings",
    "case_objects",
    "sighting_flags",
    "works",
    "work_parts",
    "work_indicators",
    "refused_rules",
];

/// Content of the journal: mostly what ended long ago, one in twenty waits, one in fifty died.
const FILLED: [&str; 10] = [
    "INSERT INTO events (console, generation, received_key, received_version, key, version, \
     origin, dialect, body, received_at, happened_at, agent_id, title, threat_key, state, due_at, \
     finished_at, root_id) \
     SELECT CASE WHEN i % 10 = 9 THEN 'https://other.example' ELSE 'https://console.example' END, \
     1, 'k' || i, 'v', 'k' || i, 'v', 'push', CASE WHEN i % 7 = 0 THEN 'ecs-alert' \
     ELSE 'native-alert' END, 'the body', i, i, 'agent-' || (i % 50), 'rule ' || (i % 40), \
     CASE WHEN i % 10 = 3 THEN 't' || (i % 200) END, \
     CASE WHEN i % 20 = 0 THEN 'pending' WHEN i % 50 = 7 THEN 'dead' ELSE 'delivered' END, i, \
     CASE WHEN i % 20 > 0 THEN i END, CASE WHEN i % 20 > 0 THEN 'incident--' || i END FROM n",
    "INSERT INTO incidents (console, key, name, created_at_us, folded_id, wanted_id) \
     SELECT 'https://console.example', 'k' || i, 'name', 1779000000000000 + i, \
     CASE WHEN i % 5000 > 0 THEN 'incident--' || i END, \
     CASE WHEN i % 4 = 0 THEN 'incident--' || (i % 100) END FROM n",
    "INSERT INTO remembered (name, value) SELECT CASE WHEN i % 2 = 0 THEN '#valid_from:indicator--' \
     ELSE 'https://console.example#' END || i, CASE WHEN i % 2 = 0 THEN 1700000000000 + i ELSE 1 END \
     FROM n",
    "INSERT INTO sightings (console, key, indicator_id, place_id, first_seen_at, last_seen_at, \
     is_false_positive) \
     SELECT 'https://console.example', 'k' || i, 'indicator--' || i, 'identity--1', i, i, 0 FROM n",
    "INSERT INTO case_objects (console, generation, threat_key, object_id, is_sent) \
     SELECT 'https://console.example', 1, 't' || (i % 200), 'incident--' || i, 0 FROM n",
    "INSERT INTO sighting_flags (console, sighting_of, sighted_by, sighting, seen_at, negative) \
     SELECT 'https://console.example', 'indicator--' || i, 'identity--1', 'sighting--' || i, i, 1 \
     FROM n",
    "INSERT INTO works (id, console, opened_at, closed_at, look_at) \
     SELECT 'work--' || i, 'https://console.example', i, i, 4000000000000 FROM n",
    "INSERT INTO work_parts (work, position, event, objects) SELECT 'work--' || i, 0, i, \
     '[\"incident--' || i || '\",\"indicator--' || i || '\"]' FROM n",
    "INSERT INTO work_indicators (indicator, work) SELECT 'indicator--' || i, 'work--' || i FROM n",
    // Less than what is kept at most.
    "INSERT INTO refused_rules (indicator, name, reason, platform, refused_at) SELECT \
     'indicator--' || i, 'rule ' || i, 'not correctly formatted', '7.2608' || i % 30 || '.0', \
     1770000000000 + CAST(i AS BIGINT) * 1000000 FROM n WHERE i < 9000",
];

fn filling() -> Vec<String> {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
    );
    // An alert is large: what walks over all of them reads much.
    let body = "x".repeat(1_500);
    FILLED.iter().map(|table| format!("{rows}{}", table.replace("the body", &body))).collect()
}

fn now() -> DateTime<Utc> {
    "2026-05-26T07:40:00Z".parse().unwrap()
}

fn notification(key: &str, status: &str) -> Notification {
    let element = json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": key, "status": status,
        "level": "high", "rule_name": "rule 1", "alert_time": "2026-05-26T07:39:58.447687Z",
        "agent": { "agentid": "agent-1", "hostname": "pc-01" },
    });
    let proof = Proof::answered_by_console(now());
    Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
}

/// Does what happens all the time: arrivals, claims, ends, and the questions in between.
async fn go(journal: &Journal) {
    journal
        .append(&[
            vec![notification("a", "new"), notification("b", "new")],
            vec![notification("a", "closed"), notification("b", "new")],
        ])
        .await
        .unwrap();
    journal.append(&[vec![notification("a", "closed")]]).await.unwrap();
    journal.probe().await.unwrap();
    journal.make_due("busy", now()).await.unwrap();
    journal.next_due().await.unwrap();
    journal.is_drained().await.unwrap();
    journal.pending().await.unwrap();
    journal.counts().await.unwrap();
    let events = journal.claim(6, LEASE, now()).await.unwrap();
    let [one, two, three, four, five, six] = &events[..] else { panic!("{}", events.len()) };
    journal.read_text(&mut super::Event { body: String::new(), ..one.clone() }).await.unwrap();
    let claims: Vec<_> = events.iter().map(|event| event.claim).collect();
    journal.renew(&claims, LEASE, now()).await.unwrap();
    let identity = IncidentIdentity { name: "name".to_owned(), created: now() };
    journal.fix_identities(&[(one.key.clone(), identity.clone())]).await.unwrap();
    // The same name and date once more.
    journal.fix_identities(&[(two.key.clone(), identity)]).await.unwrap();
    let alert = AlertName {
        key: "alert".to_owned(),
        version: "new".to_owned(),
        threat_key: Some("t3".to_owned()),
        updated_at: None,
    };
    journal.identify(six.claim, &alert).await.unwrap();
    journal.adopt_unmatched(five, LEASE).await.unwrap();
    journal.has_unfinished_alerts("t3").await.unwrap();
    journal.refund_attempt(five.claim).await.unwrap();
    of_sightings_and_cases(journal, &one.key).await;
    let delivered = || Outcome::Delivered { root_id: "incident--1".to_owned(), remark: None };
    let follow_up = FollowUp {
        missing: MissingEnrichment { page: true, rule: false, host: false },
        due_at: now() + TimeDelta::minutes(1),
        deadline: now() + TimeDelta::minutes(5),
    };
    let in_part =
        Outcome::DeliveredInPart { root_id: "incident--2".to_owned(), remark: None, follow_up };
    let later = Outcome::Later { at: now() + TimeDelta::minutes(1), reason: "busy".to_owned() };
    let outcomes = [
        (one.claim, delivered()),
        (two.claim, in_part),
        (three.claim, later),
        (four.claim, Outcome::Dead { reason: "broken".to_owned() }),
        (five.claim, Outcome::Superseded),
        (six.claim, delivered()),
    ];
    journal.finish(&outcomes, now()).await.unwrap();
    of_works(journal, one.claim.event).await;
}

async fn of_sightings_and_cases(journal: &Journal, key: &str) {
    let sighted = Sighted {
        indicator_id: "indicator--1".to_owned(),
        place_id: "identity--1".to_owned(),
        first_seen: now(),
        last_seen: now(),
        is_false_positive: true,
    };
    journal.note_sighting(key, &sighted).await.unwrap();
    let seen = SeenIndicator {
        id: "indicator--1".to_owned(),
        seen_at: now(),
        moves_after: TimeDelta::days(30),
    };
    journal.valid_from(&seen).await.unwrap();
    let kept = CaseObjects {
        threat_key: "t3".to_owned(),
        object_ids: vec!["indicator--1".to_owned()],
        standing: CaseStanding::Sent,
    };
    journal.keep_case_objects(&[kept]).await.unwrap();
    journal.new_case_objects("t3").await.unwrap();
    let flag = SightingFlag {
        sighting: "sighting--1".to_owned(),
        sighting_of: "indicator--1".to_owned(),
        sighted_by: "identity--1".to_owned(),
        seen_at: now(),
        negative: true,
    };
    journal.note_sightings(std::slice::from_ref(&flag), now()).await.unwrap();
    journal.flags_due(10, now()).await.unwrap();
    journal.flag_again(&flag, Some(now())).await.unwrap();
    journal.flag_shown(&flag).await.unwrap();
}

async fn of_works(journal: &Journal, event: i64) {
    let parts =
        [WorkPart { event, objects: vec!["incident--1".to_owned(), "indicator--1".to_owned()] }];
    journal.work_opened("work", &parts, now()).await.unwrap();
    journal.work_closed("work", now(), now()).await.unwrap();
    journal.close_forgotten_works("lost", now()).await.unwrap();
    journal.works_due(10, now()).await.unwrap();
    journal.parts_of_work("work").await.unwrap();
    let refusal = Refusal {
        event: Some(event),
        object: "incident--1".to_owned(),
        reason: "no".to_owned(),
        work: "work".to_owned(),
        refused_at: now(),
    };
    journal.remove_work("work", &[refusal]).await.unwrap();
    journal.requeue_delivered(event, "no", &[TimeDelta::minutes(1)], now()).await.unwrap();
    journal.work_opened("lost", &parts, now()).await.unwrap();
    let lost = LostWork {
        work: "lost",
        reason: "lost",
        waits: &[TimeDelta::zero()],
        closing: None,
        refusals: &[],
    };
    journal.work_lost(&lost, now()).await.unwrap();
    journal.note_platform_version("7.260817.0").await.unwrap();
    journal.work_opened("read", &parts, now()).await.unwrap();
    let refusal = RuleRefusal {
        indicator: "indicator--1".to_owned(),
        name: "rule 1".to_owned(),
        reason: "no".to_owned(),
        work: "read".to_owned(),
        event: Some(event),
        refused_at: now(),
    };
    assert!(journal.refuse_rule(&refusal).await.unwrap().is_some());
    journal.left_out_rules(now()).await.unwrap();
    journal.works_with("indicator--1", "work", 5).await.unwrap();
    journal.forget_refused_rules(Some("indicator--1")).await.unwrap();
    journal.remember("cursor", "2026").await.unwrap();
    journal.remembered("cursor").await.unwrap();
    journal.event_history("k21").await.unwrap().unwrap();
    assert!(
        !journal.dead_letter_groups(&DeadLetterFilter::default(), 20).await.unwrap().is_empty()
    );
    let letters = journal.dead_letters(&DeadLetterFilter::default(), 0, 20).await.unwrap();
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    journal.retry(&ids[..1], now()).await.unwrap();
    journal.discard(&ids[1..2], now()).await.unwrap();
    journal.text(ids[2]).await.unwrap();
    journal.activity(now()).await.unwrap();
    for what in Removable::ALL {
        journal.remove(what, 10, now()).await.unwrap();
    }
    journal.samples(now()).await.unwrap();
    let old = DateTime::from_timestamp_millis(40);
    journal
        .prune(PruneBefore { finished: old, letters: old, rows: None }, 10, now())
        .await
        .unwrap();
    let rows = Some(now() + TimeDelta::days(1));
    journal.prune(PruneBefore { finished: None, letters: None, rows }, 10, now()).await.unwrap();
}

/// Returns what a plan walks over as a whole, of what grows with the journal.
fn walks(plan: &[String], sign: &str, tables: &[&str]) -> Vec<String> {
    let names = |line: &&String| {
        let rest = line.split_once(sign).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_whitespace().next())
            .is_some_and(|name| tables.contains(&name))
    };
    plan.iter().filter(names).cloned().collect()
}

/// Fails when a statement walks.
fn assert_none(walking: &BTreeMap<String, Vec<String>>, explained: usize) {
    assert!(explained > 50, "only {explained} statements were written down");
    let told: Vec<String> =
        walking.iter().map(|(text, plan)| format!("{text}\n    {}", plan.join("\n    "))).collect();
    assert!(told.is_empty(), "{} of {explained}:\n{}", told.len(), told.join("\n\n"));
}

#[tokio::test]
async fn nothing_that_is_asked_all_the_time_walks_over_a_table_of_a_sqlite_journal_with_much() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = Journal::new(SqliteDatabase::open(&url).await.unwrap(), CONSOLE);
    let mut beside = SqliteConnection::connect(&url).await.unwrap();
    for table in filling() {
        sqlx::query(AssertSqlSafe(table)).execute(&mut beside).await.unwrap();
    }
    let _opening = noted();
    go(&journal).await;
    let statements = noted();
    let explained = statements.len();
    let mut walking = BTreeMap::new();
    // SQLite says what a table is called in the statement.
    let names = [
        &TABLES[..],
        &["e", "i", "other", "newer", "letter", "about", "version", "waiting", "old", "seen"],
    ]
    .concat();
    for (text, values) in statements {
        let asked = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")));
        let asked = values.into_iter().fold(asked, |asked, value| match value {
            Value::Number(number) => asked.bind(number),
            Value::Text(text) => asked.bind(text),
        });
        let rows = asked.fetch_all(&mut beside).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        if !walks(&plan, "SCAN ", &names).is_empty() {
            walking.insert(text, plan);
        }
    }
    assert_none(&walking, explained);
}

#[tokio::test]
async fn nothing_that_is_asked_all_the_time_walks_over_a_table_of_a_postgresql_journal_with_much() {
    let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
        .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
    let name = format!("plans_{}", std::process::id());
    let mut beside = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}; SET search_path = {name}"
    )))
    .execute(&mut beside)
    .await
    .unwrap();
    let url = format!("{server}?options[search_path]={name}");
    let journal = Journal::new(PostgresDatabase::open(&url, None, 2).await.unwrap(), CONSOLE);
    for table in filling() {
        sqlx::raw_sql(AssertSqlSafe(table)).execute(&mut beside).await.unwrap();
    }
    // Other tests have schemas there, too.
    let tables = TABLES.join(", ");
    sqlx::raw_sql(AssertSqlSafe(format!("VACUUM ANALYZE {tables}")))
        .execute(&mut beside)
        .await
        .unwrap();
    let _opening = noted();
    go(&journal).await;
    let statements = noted();
    let explained = statements.len();
    let mut walking = BTreeMap::new();
    for (text, values) in statements {
        let plan = plan_of(&mut beside, &text, &values).await;
        if !walks(&plan, "Seq Scan on ", &TABLES).is_empty() {
            walking.insert(text, plan);
        }
    }
    assert_counted(&mut beside).await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
        .execute(&mut beside)
        .await
        .unwrap();
    assert_none(&walking, explained);
}

/// The numbers that triggers keep up are those of the events.
async fn assert_counted(connection: &mut PgConnection) {
    let wrong = "SELECT * FROM (SELECT console, CASE WHEN state = 'pending' AND follows IS NOT NULL \
             THEN 'following-up' ELSE state END AS standing, COUNT(*) AS events, \
             SUM(OCTET_LENGTH(body)) AS bytes FROM events GROUP BY 1, 2) AS counted \
         FULL JOIN (SELECT console, standing, SUM(events) AS events FROM event_counts \
             GROUP BY 1, 2 HAVING SUM(events) <> 0) AS kept USING (console, standing) \
         FULL JOIN (SELECT console, standing, SUM(bytes) AS bytes FROM text_bytes \
             GROUP BY 1, 2) AS texts USING (console, standing) \
         WHERE counted.events IS DISTINCT FROM kept.events \
         OR COALESCE(counted.bytes, 0) <> COALESCE(texts.bytes, 0)";
    let rows = sqlx::raw_sql(wrong).fetch_all(connection).await.unwrap();
    assert_eq!(rows.len(), 0);
}

/// Returns how a statement is answered that has been asked often, so that the server has chosen whether it
/// plans it for each value.
async fn plan_of(connection: &mut PgConnection, text: &str, values: &[Value]) -> Vec<String> {
    let types = values.iter().map(|value| match value {
        Value::Number(_) => "bigint",
        Value::Text(_) => "text",
    });
    let literals = values.iter().map(|value| match value {
        Value::Number(Some(number)) => number.to_string(),
        Value::Text(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        Value::Number(None) | Value::Text(None) => "NULL".to_owned(),
    });
    let in_brackets = |list: Vec<String>| {
        if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) }
    };
    let types = in_brackets(types.map(str::to_owned).collect());
    let preparing = format!("PREPARE asked{types} AS {text}");
    sqlx::raw_sql(AssertSqlSafe(preparing)).execute(&mut *connection).await.unwrap();
    let explaining = format!("EXPLAIN EXECUTE asked{}", in_brackets(literals.collect()));
    let mut rows = Vec::new();
    for _time in 0..7 {
        let asked = sqlx::raw_sql(AssertSqlSafe(explaining.clone()));
        rows = asked.fetch_all(&mut *connection).await.unwrap();
    }
    sqlx::raw_sql("DEALLOCATE asked").execute(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
