//! A connector that was deleted in OpenCTI and is registered anew by a replica that does not lead: what
//! was in its queue is gone, and the leader's heartbeat sees nothing of it. The replica writes it down,
//! and the leader heeds it like a reset.
//!
//! Does not live here: the same, noticed by the leader's heartbeat (`platform`) or at the beginning of a
//! term (`platform::heed_clearing`).

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{leader::Leader, reset::Reset, until_answered::until_answered};
use crate::{
    opencti::{ConfirmedObjects, Connector},
    sweep::ConnectorState,
};

/// Time between two looks of the leader for what another replica wrote down.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// As long as this replica does not lead: tells the leader when OpenCTI answers a registration without
/// the state that it held of this connector.
pub(super) async fn tell_the_leader(
    leader: Arc<Leader>,
    connector: Arc<Connector>,
    state: ConnectorState,
    stop: CancellationToken,
) {
    let mut registrations = connector.registrations();
    let telling = async {
        loop {
            let registered = registrations.borrow_and_update().clone();
            if let Some(registration) = registered
                && registration.state.is_none()
                && !leader.leads()
                && until_answered(|| state.was_cleared(None)).await
            {
                info!("OpenCTI holds no state of this connector any more: the leader is told");
                until_answered(|| state.reset_asked_for()).await;
            }
            // Its sender lives as long as the connector.
            let Ok(()) = registrations.changed().await else { return };
        }
    };
    stop.run_until_cancelled(telling).await;
}

/// In a term: asks for the reset that another replica wrote down.
pub(super) async fn heed_the_others(
    reset: Arc<Reset>,
    confirmed: Option<Arc<ConfirmedObjects>>,
    term: CancellationToken,
) {
    let heeding = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if reset.is_written_down_by_another().await {
                info!("the connector was made anew in OpenCTI: everything is imported again");
                if let Some(confirmed) = &confirmed {
                    confirmed.forget();
                }
                reset.ask().await;
            }
        }
    };
    term.run_until_cancelled(heeding).await;
}
