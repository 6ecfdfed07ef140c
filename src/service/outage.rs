//! Notices an outage of OpenCTI, and its end, within 15 seconds, also one that takes connections and never
//! answers.
//!
//! Every replica asks OpenCTI for its version every few seconds. An error, or no answer in time, makes
//! the component `opencti` degraded until the next answer that comes in time. The short wait is this
//! question's alone: every other call goes on waiting for a slow answer and uses it.
//!
//! Does not live here: the first registration (`platform`), which waits by the same rule.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    health::{Health, Part},
    journal::{Journal, JournalError},
    opencti::OpenCti,
};

/// The pace at which OpenCTI is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Pause between an answer and the next question.
    pause: Duration,
    /// Longest wait for an answer before OpenCTI counts as away.
    patience: Duration,
}

/// Together less than the 15 seconds within which an outage shows.
pub(super) const PACE: Pace =
    Pace { pause: Duration::from_secs(6), patience: Duration::from_secs(6) };
const _: () = assert!(PACE.pause.as_secs() + PACE.patience.as_secs() < 15);

/// Asks until `stop`, and calls `is_back` at the end of each outage. The log says when one begins, changes
/// and ends. The journal notes each other version, which tells the end of what the one before refused.
pub(super) async fn watch<F: Future<Output = ()>>(
    client: OpenCti,
    (health, pace): (Arc<Health>, Pace),
    journal: Journal,
    is_back: impl Fn() -> F,
    stop: CancellationToken,
) {
    let asking = async {
        let mut trouble: Option<String> = None;
        let mut noted = None;
        loop {
            let answer = timeout(pace.patience, client.version()).await;
            let answer =
                answer.unwrap_or_else(|_elapsed| Err(client.no_answer_within(pace.patience)));
            let now = answer.err().map(|failure| failure.to_string());
            match &now {
                Some(reason) => health.degraded(Part::OpenCti, reason.clone()),
                None => health.well(Part::OpenCti),
            }
            if now != trouble {
                if let Some(reason) = &now {
                    warn!(
                        reason,
                        "OpenCTI cannot be used; deliveries are accepted and wait in the journal"
                    );
                } else {
                    info!("OpenCTI can be used again");
                    is_back().await;
                }
                trouble = now;
            }
            let version = client.known_version();
            if version != noted && note_version(&client, &journal).await.is_ok() {
                noted = version;
            }
            sleep(pace.pause).await;
        }
    };
    stop.run_until_cancelled(asking).await;
}

/// Notes the version that OpenCTI answered last, if it answered one.
pub(super) async fn note_version(client: &OpenCti, journal: &Journal) -> Result<(), JournalError> {
    match client.known_version() {
        Some(version) => journal.note_platform_version(&version.to_string()).await,
        None => Ok(()),
    }
}

/// Asks OpenCTI, waits for its answer as long as it takes, and reports OpenCTI as degraded while that
/// is longer than it should be.
///
/// A question that went out during an outage may never be answered. So OpenCTI is asked for its version
/// meanwhile; as soon as it answers that, the question is asked once more.
pub(super) async fn await_answer<F: Future>(
    ask: impl Fn() -> F,
    client: &OpenCti,
    health: &Health,
    pace: Pace,
) -> F::Output {
    let first = async {
        let mut answer = pin!(ask());
        if let Ok(in_time) = timeout(pace.patience, answer.as_mut()).await {
            return Some(in_time);
        }
        let reason = client.no_answer_within(pace.patience).to_string();
        warn!(
            reason,
            "OpenCTI has not answered yet; deliveries are accepted and wait in the journal"
        );
        health.degraded(Part::OpenCti, reason);
        tokio::select! {
            answer = answer => Some(answer),
            () = until_it_answers(client, pace) => None,
        }
    };
    match first.await {
        Some(answer) => answer,
        None => ask().await,
    }
}

async fn until_it_answers(client: &OpenCti, pace: Pace) {
    while !matches!(timeout(pace.patience, client.version()).await, Ok(Ok(_))) {
        sleep(pace.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::oneshot,
    };

    use super::*;
    use crate::{
        config::{OpenCtiSettings, TlsVerification},
        journal::SqliteDatabase,
    };

    const FAST: Pace =
        Pace { pause: Duration::from_millis(5), patience: Duration::from_millis(50) };

    /// A client of a listener that takes connections and never answers.
    async fn client_of_a_black_hole() -> (OpenCti, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = OpenCtiSettings {
            url: format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
            token: "a-token".into(),
            token_file: None,
            tls: TlsVerification::System,
            custom_headers: Vec::new(),
        };
        (OpenCti::new(&settings).unwrap(), listener)
    }

    async fn until_degraded(health: &Health) -> String {
        loop {
            if let Some(reason) = health.reasons().remove(Part::OpenCti.name()) {
                return reason;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_platform_that_never_answers_is_degraded_once_patience_is_over() {
        let (client, _listener) = client_of_a_black_hole().await;
        let (health, stop) = (Arc::new(Health::default()), CancellationToken::new());
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let reason = tokio::select! {
            reason = until_degraded(&health) => reason,
            () = watch(client, (Arc::clone(&health), FAST), journal, async || (), stop) => {
                panic!("nothing stops it")
            }
        };
        assert!(reason.contains("does not answer: no answer within"), "{reason}");
        assert!(!reason.contains("role"), "nobody refused anything: {reason}");
    }

    #[tokio::test]
    async fn a_late_answer_is_used_though_the_platform_is_degraded_meanwhile() {
        let (client, _listener) = client_of_a_black_hole().await;
        let health = Health::default();
        let (late, answer) = oneshot::channel();
        let answer = Mutex::new(Some(answer));
        let ask = || answer.lock().unwrap().take().expect("it is asked once");
        let degraded = async {
            let reason = until_degraded(&health).await;
            late.send(7).unwrap();
            reason
        };
        let (answer, reason) = tokio::join!(await_answer(ask, &client, &health, FAST), degraded);
        assert_eq!(answer, Ok(7));
        assert!(reason.contains("does not answer"), "{reason}");
    }

    /// Answers every request with a version from now on.
    async fn answer_again(listener: &TcpListener) {
        let body = r#"{"data":{"about":{"version":"6.5.0"}}}"#;
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        loop {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            // The whole request comes in one piece; whoever gave up is gone.
            let _length = stream.read(&mut [0; 4096]).await;
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn a_question_that_went_out_in_an_outage_is_asked_again_when_the_platform_is_back() {
        let (client, listener) = client_of_a_black_hole().await;
        let (health, asked) = (Health::default(), AtomicU32::new(0));
        let ask = || async {
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            7
        };
        let back = async {
            until_degraded(&health).await;
            answer_again(&listener).await;
        };
        tokio::select! {
            answer = await_answer(ask, &client, &health, FAST) => assert_eq!(answer, 7),
            () = back => panic!("it answers for ever"),
            () = sleep(Duration::from_mins(1)) => panic!("it is not asked again"),
        }
        assert_eq!(asked.into_inner(), 2);
    }
}
