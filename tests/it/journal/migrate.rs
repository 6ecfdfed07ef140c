//! `journal migrate`: a SQLite journal moves into PostgreSQL as a whole, or not at all.

use chrono::TimeDelta;
use harfanglab_incidents::{
    alert::IncidentIdentity,
    journal::{FollowUp, Journal, MissingEnrichment, Outcome, Refusal, WorkPart},
};
use tokio::io::AsyncReadExt as _;

use crate::support::{
    notifications::{delivered, native, start},
    stage::Stage,
    stores::{CONNECTIONS, Database, open_postgres, open_sqlite},
};

/// Something of everything.
async fn fill(journal: &Journal) {
    for key in ["a", "b", "c", "d"] {
        journal.append(&[vec![native(key, "new")]]).await.unwrap();
    }
    let events = journal.claim(4, std::time::Duration::from_mins(5), start()).await.unwrap();
    let identity = IncidentIdentity { name: "first".to_owned(), created: start() };
    journal.fix_identities(&[(events[0].key.clone(), identity)]).await.unwrap();
    let follow_up = FollowUp {
        missing: MissingEnrichment { page: true, ..MissingEnrichment::default() },
        due_at: start() + TimeDelta::minutes(1),
        deadline: start() + TimeDelta::minutes(10),
    };
    let in_part =
        Outcome::DeliveredInPart { root_id: "incident--1".to_owned(), remark: None, follow_up };
    let dead = Outcome::Dead { reason: "odd: ' \" \\ \u{1f9ea}".to_owned() };
    let later = Outcome::Later { at: start(), reason: "the broker is away".to_owned() };
    let outcomes = [
        (events[0].claim, in_part),
        (events[1].claim, dead),
        (events[2].claim, delivered()),
        (events[3].claim, later),
    ];
    journal.finish(&outcomes, start()).await.unwrap();
    journal.append(&[vec![native("a", "closed")]]).await.unwrap();
    journal.remember("cursor", "2026-05-26").await.unwrap();
    let event = events[2].claim.event;
    let parts = [WorkPart { event, objects: vec!["incident--1".to_owned()] }];
    journal.work_opened("work_1", &parts, start()).await.unwrap();
    journal.work_opened("work_2", &[], start()).await.unwrap();
    let refusal = Refusal {
        event: Some(event),
        object: "incident--1".to_owned(),
        reason: "refused".to_owned(),
        work: "work_2".to_owned(),
        refused_at: start(),
    };
    journal.remove_work("work_2", &[refusal]).await.unwrap();
}

#[tokio::test]
async fn a_journal_moves_as_a_whole_and_neither_from_one_in_use_nor_over_another_one() {
    let mut stage = Stage::with_webhook().await;
    let target = Database::Postgres.fresh().await;
    let console = stage.home.get("HARFANGLAB_INCIDENTS_URL");
    let url = format!("sqlite:{}", stage.home.journal().display());
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &url);
    let migrate = async || {
        let mut app = stage.home.start(&["journal", "migrate", "--to", &target.url]);
        let mut stdout = String::new();
        app.stdout().read_to_string(&mut stdout).await.unwrap();
        let code = app.exit().await.code();
        app.wait_for_the_end_of_its_log().await;
        (code, stdout, app.log())
    };
    let (code, _, log) = migrate().await;
    assert!(code == Some(1) && log.contains("there is no journal at"), "{log}");

    let before = open_sqlite(&url, &console).await;
    fill(&before).await;
    let (code, _, log) = migrate().await;
    assert!(code == Some(1) && log.contains("another process uses this journal"), "{log}");
    let expected = everything(&before).await;
    drop(before);

    let (code, stdout, log) = migrate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(stdout.contains("events: 6\n") && stdout.contains("refusals: 1\n"), "{stdout}");
    let after = open_postgres(&target.url, CONNECTIONS, &console).await;
    assert_eq!(everything(&after).await, expected);
    // It goes on: known versions are known, new ones get ids behind the others.
    let receipts = after.append(&[vec![native("a", "closed"), native("e", "new")]]).await.unwrap();
    assert_eq!((receipts[0].accepted, receipts[0].duplicates), (1, 1));
    let told = after.event_history("e").await.unwrap().unwrap();
    assert_eq!(told.entries[0].id, 7);

    let (code, _, log) = migrate().await;
    assert!(code == Some(1) && log.contains("there is a journal in this database"), "{log}");
}

async fn everything(journal: &Journal) -> Vec<String> {
    let mut told = Vec::new();
    for key in ["a", "b", "c", "d"] {
        told.push(format!("{:?}", journal.event_history(key).await.unwrap()));
    }
    told.push(format!("{:?}", journal.counts().await.unwrap()));
    told.push(format!("{:?}", journal.remembered("cursor").await.unwrap()));
    told.push(format!("{:?}", journal.parts_of_work("work_1").await.unwrap()));
    told.push(format!("{:?}", journal.refusals(9).await.unwrap()));
    told.push(format!("{:?}", journal.text(1).await.unwrap()));
    told
}
