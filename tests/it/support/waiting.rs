//! Waits for what cannot tell: by asking again.

use std::time::Duration;

use super::app::patience;

/// Asks again, every 50 ms, until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    let asking = async {
        loop {
            turns.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(patience(), asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}
