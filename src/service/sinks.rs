//! The sinks of bundles that the settings ask for. They combine: a queue (RabbitMQ or the
//! API), a folder and S3 may each be on, and an event is delivered when every one of them has it.
//! Works are the queue's: without it OpenCTI is shown none.

use std::sync::Arc;

use super::{ServiceError, platform::Platform};
use crate::{
    clock::Clock,
    config::{Approval, QueueProtocol, Settings},
    journal::Journal,
    opencti::{
        ApiSink, Backpressure, ConfirmedObjects, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_MESSAGE_BYTES,
        DirectorySink, OpenCtiError, QueueSink, S3Sink, Sink,
    },
    pipeline::RefusedRules,
};

/// Everything that leads out.
pub(super) struct Outlets {
    pub(super) platform: Option<Platform>,
    /// The objects that need not be sent again.
    pub(super) confirmed: Option<Arc<ConfirmedObjects>>,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    /// Says when the queue is too long; where nothing goes there, nobody.
    pub(super) pressure: Option<Arc<Backpressure>>,
    /// Rules that OpenCTI refused, which are left out of everything.
    pub(super) refused_rules: Arc<RefusedRules>,
}

impl Outlets {
    /// As the settings say; `more_sinks` get every bundle, too. Nothing is connected yet.
    pub(super) fn open(
        settings: &Settings,
        journal: &Journal,
        clock: &Clock,
        more_sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Self, ServiceError> {
        let platform = settings.opencti.as_ref();
        let platform = platform.map(|opencti| Platform::new(opencti, settings, journal.clone()));
        let platform = platform.transpose()?;
        let confirmed = confirmed(settings);
        let mut sinks = sinks(settings, platform.as_ref(), journal, confirmed.as_ref(), clock)?;
        sinks.extend(more_sinks);
        if sinks.is_empty() {
            return Err(ServiceError::NowhereToDeliver);
        }
        let pressure = platform
            .as_ref()
            .filter(|_| settings.connector.send_to_queue)
            .map(|platform| Arc::new(Backpressure::new(platform.connector())));
        Ok(Self { platform, confirmed, sinks, pressure, refused_rules: Arc::default() })
    }
}

/// Makes the memory of what the queue confirmed and need not be sent again. A draft holds what was sent to it
/// alone, so
/// each gets everything.
fn confirmed(settings: &Settings) -> Option<Arc<ConfirmedObjects>> {
    let resend_after = settings.pipeline.resend_after;
    let is_known_again = settings.connector.sending.approval == Approval::NotNeeded;
    (is_known_again && !resend_after.is_zero())
        .then(|| Arc::new(ConfirmedObjects::new(resend_after)))
}

/// Opens the sinks of these settings; without a platform the folder alone. The certificate of S3 is always
/// checked, by the system's authorities and those named for OpenCTI.
fn sinks(
    settings: &Settings,
    platform: Option<&Platform>,
    journal: &Journal,
    confirmed: Option<&Arc<ConfirmedObjects>>,
    clock: &Clock,
) -> Result<Vec<Arc<dyn Sink>>, ServiceError> {
    let connector = &settings.connector;
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    if let Some(platform) = platform.filter(|_| connector.send_to_queue) {
        let (journal, clock) = (journal.clone(), clock.clone());
        sinks.push(match connector.sending.protocol {
            QueueProtocol::Amqp => {
                let queue = queue(settings, platform, confirmed);
                Arc::new(queue.noting_works(journal, clock))
            }
            QueueProtocol::Api => {
                let api = ApiSink::new(platform.connector(), DEFAULT_MAX_BODY_BYTES);
                Arc::new(api.noting_works(journal, clock))
            }
        });
    }
    if let Some(directory) = &connector.directory {
        sinks.push(Arc::new(DirectorySink::new(
            directory,
            connector.clone(),
            platform.map(Platform::connector),
            clock.clone(),
        )));
    }
    if let (Some(platform), Some(s3)) = (platform, &connector.sending.s3) {
        let connector = platform.connector();
        let trust = connector.platform().trust().at_least_system().map_err(OpenCtiError::from)?;
        let sink = S3Sink::new(connector, s3.clone(), trust, clock.clone());
        sinks.push(Arc::new(sink));
    }
    Ok(sinks)
}

fn queue(
    settings: &Settings,
    platform: &Platform,
    confirmed: Option<&Arc<ConfirmedObjects>>,
) -> QueueSink {
    let connector = platform.connector();
    let queue = QueueSink::new(connector, settings.mq.clone(), DEFAULT_MAX_MESSAGE_BYTES);
    match confirmed {
        Some(confirmed) => queue.leaving_out(Arc::clone(confirmed)),
        None => queue,
    }
}
