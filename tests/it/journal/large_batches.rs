//! Deliveries and batches as large as our own bound: they are stored, and none of their statements grows
//! with them (a test build refuses a statement of too many values). How their time grows with their
//! size is the business of `scripts/bench.sh accept`.

use std::sync::Arc;

use harfanglab_incidents::{
    intake::{Door, Notification, Receipt, verification::Proof},
    journal::{DeadLetterFilter, write_what_comes_in},
};
use tokio::sync::Notify;

use super::events::Store;
use crate::support::{
    app::is_long,
    notifications::{native, start},
    stores::on_both_databases,
};

/// As many elements as one body may hold; in the ordinary run more than two commits do.
fn most() -> usize {
    if is_long() { 10_000 } else { 2_500 }
}

on_both_databases!(
    the_largest_delivery_is_stored_whole_and_known_again_and_a_small_one_does_not_wait_for_it,
    many_dead_letters_are_found_and_dropped_by_their_ids,
);

async fn the_largest_delivery_is_stored_whole_and_known_again_and_a_small_one_does_not_wait_for_it(
    store: Store,
) {
    let most = most();
    let (door, entries) = Door::new(8);
    let large = move || (0..most).map(|number| native(&format!("alert-{number}"), "new")).collect();
    let (first, second) = (door.clone(), door.clone());
    let whole = tokio::spawn(async move { first.append(large()).await });
    let journal = store.journal.clone();
    tokio::task::yield_now().await;
    let small = tokio::spawn(async move { second.append(vec![native("small", "new")]).await });
    // Both are there when the first commit begins.
    tokio::task::yield_now().await;
    let writer = tokio::spawn(write_what_comes_in(journal, entries, Arc::new(Notify::new())));
    let stored = Receipt { accepted: 1, first_seen: 1, ..Receipt::default() };
    assert_eq!(small.await.unwrap().unwrap(), stored);
    assert!(!whole.is_finished(), "the small one waited for all of the large one");
    let stored = Receipt { accepted: most, first_seen: most, ..Receipt::default() };
    assert_eq!(whole.await.unwrap().unwrap(), stored);
    let known = Receipt { duplicates: most, ..Receipt::default() };
    assert_eq!(door.append(large()).await.unwrap(), known);
    drop(door);
    writer.await.unwrap();
    assert_eq!(store.journal.pending().await.unwrap(), 1 + most as u64);
}

async fn many_dead_letters_are_found_and_dropped_by_their_ids(store: Store) {
    const LETTERS: usize = 1_000;
    let proof = Proof::answered_by_console(start());
    let letter = |number| {
        Notification::dead_letter(&proof, format!("letter {number}"), "a reason".to_owned())
    };
    store.journal.append(&[(0..LETTERS).map(letter).collect()]).await.unwrap();
    let all = store.journal.dead_letters(&DeadLetterFilter::default(), 0, LETTERS).await.unwrap();
    let ids: Vec<i64> = all.iter().map(|letter| letter.id).collect();
    assert_eq!(ids.len(), LETTERS);
    let by_id = DeadLetterFilter { ids: ids.clone(), ..DeadLetterFilter::default() };
    assert_eq!(store.journal.dead_letters(&by_id, 0, LETTERS).await.unwrap(), all);
    assert_eq!(store.journal.discard(&ids, start()).await.unwrap(), LETTERS as u64);
}
