//! Questions to a disk that may hang, as a network file system does: asked off the async threads, and not
//! waited for long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A disk, asked one question at a time: one that hangs keeps a single thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    asking: Arc<Mutex<()>>,
}

impl Disk {
    /// Runs `question`, which blocks as long as the disk does; `None`: the disk does not answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let asked = async {
            let turn = Arc::clone(&self.asking).lock_owned().await;
            let question = move || {
                let _turn = turn;
                question()
            };
            spawn_blocking(question).await
        };
        timeout(ANSWER_MAX, asked).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody_and_keeps_one_thread() {
        let disk = Disk::default();
        let (answer, hangs) = mpsc::channel::<()>();
        // On the only thread of this test, so that it would never end.
        assert_eq!(disk.ask(move || hangs.recv().is_ok()).await, None);
        let was_asked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&was_asked);
        assert_eq!(disk.ask(move || asked.store(true, Ordering::Relaxed)).await, None);
        assert!(!was_asked.load(Ordering::Relaxed), "a second thread would hang, too");
        answer.send(()).unwrap();
        while disk.ask(|| true).await.is_none() {}
    }
}
