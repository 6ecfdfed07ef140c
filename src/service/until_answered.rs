//! Questions to the journal that are asked until it answers.

use std::time::Duration;

use tracing::error;

use crate::journal::JournalError;

/// Wait between two tries to use a journal that fails.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);

/// Asks the journal until it answers: while it cannot, nothing else can be done either, and the
/// webhook tells its senders to come back.
pub(super) async fn until_answered<T, F: Future<Output = Result<T, JournalError>>>(
    ask: impl Fn() -> F,
) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(failure) => {
                error!(%failure, "the journal cannot be used; trying again");
                tokio::time::sleep(JOURNAL_AGAIN).await;
            }
        }
    }
}
