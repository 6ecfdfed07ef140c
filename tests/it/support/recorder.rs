//! A sink that records the bundles it gets.

use std::sync::Arc;

use async_trait::async_trait;
use harfanglab_incidents::{
    opencti::{Delivery, DeliveryError, Sink},
    stix::Bundle,
};
use tokio::sync::watch;

/// A sink that records what it gets.
struct Recorder(watch::Sender<Vec<Bundle>>);

/// Returns the sink, and everything that it has taken so far, in order.
pub(crate) fn recorder() -> (Arc<dyn Sink>, watch::Receiver<Vec<Bundle>>) {
    let (sender, delivered) = watch::channel(Vec::new());
    (Arc::new(Recorder(sender)), delivered)
}

#[async_trait]
impl Sink for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        self.0.send_modify(|bundles| {
            bundles.extend(delivery.bundles.iter().map(|it| Bundle::clone(it)));
        });
        vec![Ok(()); delivery.bundles.len()]
    }
}
