//! Ways of bundles to OpenCTI besides its plain queue: by its API, by way of S3, as drafts (`connector:`).

use strum::{VariantArray, VariantNames};

use super::s3::{self, S3Settings};
use crate::config::{
    declare::{Field, Value, choices, names_of, settings},
    option::{OptionSpec, choice, switch, whole},
    parse::{self, Refusal},
    reader::{Read, Reader},
};

settings! { SENDING "":
    /// The sending modes of `CONNECTOR_*` and `S3_*`.
    #[derive(Debug, Clone, Default)]
    pub struct SendingSettings {
        /// amqp publishes to RabbitMQ; api gives whole bundles to OpenCTI's API, which puts them on the
        /// queue, where RabbitMQ cannot be reached. The older name `QUEUE_PROTOCOL` (environment only) is read
        /// where this one is not given.
        also CONNECTOR_QUEUE_PROTOCOL: choice(names_of::<QueueProtocol>()).default("amqp");
        also QUEUE_PROTOCOL: choice(names_of::<QueueProtocol>()).environment_only();
        /// `CONNECTOR_QUEUE_PROTOCOL`, or the older `QUEUE_PROTOCOL`.
        protocol: QueueProtocol = from protocol;
        /// `CONNECTOR_SEND_TO_S3…`; `None` when off.
        s3: Option<S3Settings> = from s3::read;
        /// Put each delivery into a draft of OpenCTI, which waits for somebody to approve it. Not together
        /// with `queue_protocol: api`, which knows no drafts; files and S3 objects say it to the connector
        /// that imports them.
        approval: Approval = CONNECTOR_VALIDATE_BEFORE_IMPORT: switch().default("false");
        check check_approval(protocol, approval);
        /// `OPENCTI_TOKEN` is an administrator's; make a service account named after the connector in the
        /// group "Connectors" and use that (OpenCTI 6.9.1 and newer).
        also CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT: switch().default("false");
        /// The highest confidence of its imports.
        also CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL: whole(0, 100).default("50");
        /// `CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT`: the highest confidence, 0–100, of the account's
        /// imports (`…_CONFIDENCE_LEVEL`); `None`: the token's own user is used.
        service_account_confidence: Option<u8> = from service_account_confidence;
    }
}

/// The way of bundles to the connector's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum QueueProtocol {
    /// Published to RabbitMQ.
    #[default]
    Amqp,
    /// Given to OpenCTI's API, which puts them on the queue: for who cannot reach RabbitMQ.
    Api,
}

choices!(QueueProtocol);

/// Says if a person looks at what comes before it is part of the knowledge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approval {
    /// It is imported at once.
    #[default]
    NotNeeded,
    /// It waits in a draft until somebody approves it.
    ByDraft,
}

impl Approval {
    /// Returns it as other connectors write it into the files that they send.
    pub fn is_needed(self) -> bool {
        self == Self::ByDraft
    }
}

impl Value for Approval {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        Ok(if parse::boolean(text)? { Self::ByDraft } else { Self::NotNeeded })
    }
}

fn check_approval(
    reader: &mut Reader<'_>,
    (protocol, approval): (&Read<QueueProtocol>, &Read<Approval>),
) {
    if (protocol, approval) == (&Ok(QueueProtocol::Api), &Ok(Approval::ByDraft)) {
        reader.fault(
            &CONNECTOR_VALIDATE_BEFORE_IMPORT,
            "is true while CONNECTOR_QUEUE_PROTOCOL is api: OpenCTI's API takes no draft with a \
             bundle, so that everything would be imported without validation",
            "set CONNECTOR_QUEUE_PROTOCOL to amqp, or this to false",
        );
    }
}

/// The older name counts only where the newer one is not given.
fn protocol(reader: &mut Reader<'_>) -> Read<QueueProtocol> {
    let newer = QueueProtocol::read(reader, &CONNECTOR_QUEUE_PROTOCOL);
    let older = Option::<QueueProtocol>::read(reader, &QUEUE_PROTOCOL);
    let (newer, older) = (newer?, older?);
    let newer_is_given = reader.is_given(&CONNECTOR_QUEUE_PROTOCOL);
    Ok(if newer_is_given { newer } else { older.unwrap_or(newer) })
}

fn service_account_confidence(reader: &mut Reader<'_>) -> Read<Option<u8>> {
    let is_wanted = bool::read(reader, &CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT);
    let confidence = u8::read(reader, &CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL);
    let (is_wanted, confidence) = (is_wanted?, confidence?);
    Ok(is_wanted.then_some(confidence))
}
