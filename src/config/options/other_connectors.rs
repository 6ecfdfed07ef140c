//! Options of other kinds of connector, and those that the platform has stopped reading: known, so that
//! they are no misspellings, and without effect.

use crate::config::{declare::options, option::without_effect};

options! { OTHER_CONNECTORS "":
    also CONNECTOR_CONFIDENCE_LEVEL: without_effect();
    also CONNECTOR_AUTO: without_effect();
    also CONNECTOR_ONLY_CONTEXTUAL: without_effect();
    also CONNECTOR_AUTO_UPDATE: without_effect();
    also CONNECTOR_ENRICHMENT_RESOLUTION: without_effect();
    also CONNECTOR_XTM_ONE_INTENT: without_effect();
    also CONNECTOR_LISTEN_PROTOCOL: without_effect();
    also CONNECTOR_LISTEN_PROTOCOL_API_PORT: without_effect();
    also CONNECTOR_LISTEN_PROTOCOL_API_PATH: without_effect();
    also CONNECTOR_LISTEN_PROTOCOL_API_SSL: without_effect();
    also CONNECTOR_LISTEN_PROTOCOL_API_URI: without_effect();
    also LISTEN_PROTOCOL_API_SSL_KEY: without_effect();
    also LISTEN_PROTOCOL_API_SSL_CERT: without_effect();
    also LISTEN_PROTOCOL_API_SSL_PASSPHRASE: without_effect();
    also CONNECTOR_LIVE_STREAM_ID: without_effect();
    also CONNECTOR_LIVE_STREAM_LISTEN_DELETE: without_effect();
    also CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES: without_effect();
    also CONNECTOR_LIVE_STREAM_WITH_INFERENCES: without_effect();
    also CONNECTOR_LIVE_STREAM_RECOVER_ISO_DATE: without_effect();
    also CONNECTOR_LIVE_STREAM_START_TIMESTAMP: without_effect();
}
