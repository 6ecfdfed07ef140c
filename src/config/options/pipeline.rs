//! Between journal and OpenCTI.

use std::time::Duration;

use crate::config::{
    declare::settings,
    option::{length, whole},
};

settings! { PIPELINE "Between journal and OpenCTI":
    /// Between journal and OpenCTI.
    #[derive(Debug, Clone)]
    pub struct PipelineSettings {
        /// Alerts enriched and converted at once.
        concurrency: usize = HARFANGLAB_INCIDENTS_CONCURRENCY: whole(1, 1_000).default("16");
        /// The most alerts delivered as one work.
        batch: usize = HARFANGLAB_INCIDENTS_BATCH: whole(1, 10_000).default("100");
        /// The time after which work that was begun and not finished is taken up again.
        lease: Duration = HARFANGLAB_INCIDENTS_LEASE: length("PT1S", "P1D").default("PT5M");
        /// The longest wait between two tries of one alert.
        retry_max: Duration = HARFANGLAB_INCIDENTS_RETRY_MAX: length("PT1S", "P1D").default("PT10M");
        /// The time for which systems, hosts, indicators, techniques and the relationships between them,
        /// once confirmed by the queue, are not sent again with the same content: OpenCTI has less to import.
        /// All that was refused, purged, reset or deleted in OpenCTI goes out again with the next alert that has
        /// it once that is noticed (refusals: some 20 s after a delivery or later), else after this time.
        /// PT0S sends everything every time.
        resend_after: Duration = HARFANGLAB_INCIDENTS_RESEND_AFTER: length("PT0S", "P1D")
            .default("PT1H")
            .row("how long what many alerts share is not sent again; `PT0S`: always sent");
    }
}
