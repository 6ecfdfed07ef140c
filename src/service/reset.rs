//! A reset that somebody asked for in OpenCTI concerns every console: each starts over as soon as its
//! own sweep lets it, and that it was asked for is written down until the last one has.
//!
//! Does not live here: noticing it (`platform`, `recreated`), starting over (`schedule`, `sweep`).

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::{Mutex, Notify};

use super::until_answered::until_answered;
use crate::sweep::ConnectorState;

/// Told to every console.
pub(super) struct Reset {
    state: ConnectorState,
    asked: Vec<Notify>,
    /// Consoles that have not started over yet. Held while that is written down.
    outstanding: Mutex<BTreeSet<usize>>,
}

/// The same, for one console.
pub(super) struct ResetOfConsole {
    reset: Arc<Reset>,
    position: usize,
}

impl Reset {
    /// For so many consoles.
    pub(super) fn new(state: ConnectorState, consoles: usize) -> Arc<Self> {
        let asked = (0..consoles).map(|_console| Notify::new()).collect();
        Arc::new(Self { state, asked, outstanding: Mutex::default() })
    }

    /// For the console at this position.
    pub(super) fn of(self: &Arc<Self>, position: usize) -> ResetOfConsole {
        ResetOfConsole { reset: Arc::clone(self), position }
    }

    /// Everything is to be imported again.
    pub(super) async fn ask(&self) {
        let mut outstanding = self.outstanding.lock().await;
        until_answered(|| self.state.reset_asked_for()).await;
        outstanding.extend(0..self.asked.len());
        for asked in &self.asked {
            asked.notify_one();
        }
    }

    /// Returns whether one is written down that was not asked for here.
    pub(super) async fn is_written_down_by_another(&self) -> bool {
        let outstanding = self.outstanding.lock().await;
        outstanding.is_empty() && until_answered(|| self.state.is_reset_asked_for()).await
    }
}

impl ResetOfConsole {
    /// Waits until it is asked for.
    pub(super) async fn asked(&self) {
        if let Some(asked) = self.reset.asked.get(self.position) {
            asked.notified().await;
        }
    }

    /// This console has started over.
    pub(super) async fn heeded(&self) {
        let mut outstanding = self.reset.outstanding.lock().await;
        if outstanding.remove(&self.position) && outstanding.is_empty() {
            until_answered(|| self.reset.state.reset_heeded()).await;
        }
    }
}
