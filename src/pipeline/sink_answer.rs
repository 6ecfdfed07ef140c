//! Answers of sinks for an event.

use crate::opencti::DeliveryError;

/// The answer of a sink for one event.
pub(super) type Answer = Result<(), DeliveryError>;

/// Returns whether a sink began to send it, or judged it.
pub(super) fn was_tried(result: &Answer) -> bool {
    !matches!(result, Err(DeliveryError::LeaseLost | DeliveryError::HeldBack))
}

/// Returns the one of two answers that decides: a lost lease outlasts a refusal, a refusal a defect, a defect an
/// outage, an outage what was held back, and that a success.
pub(super) fn worse(one: Answer, other: Answer) -> Answer {
    let weight = |result: &Answer| match result {
        Ok(()) => 0,
        Err(DeliveryError::HeldBack) => 1,
        Err(DeliveryError::Unavailable(_)) => 2,
        Err(DeliveryError::BrokeOff) => 3,
        Err(DeliveryError::Refused(_)) => 4,
        Err(DeliveryError::LeaseLost) => 5,
    };
    if weight(&other) > weight(&one) { other } else { one }
}
