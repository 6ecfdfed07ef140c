//! The ways by which a notification comes.

use strum::{EnumString, IntoStaticStr};

/// The way by which a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Origin {
    /// Posted to the endpoint, or sent by syslog.
    Push,
    /// Read from the queue of the console's Elastic connector.
    Pull,
    /// Found by the sweep.
    Sweep,
    /// Made by the journal itself: completes what left before the console had shown all of it.
    FollowUp,
}

impl Origin {
    /// Returns whether it tells what happened when it happened, and may come late; what a sweep finds is how
    /// it is now.
    pub fn is_told_by_console(self) -> bool {
        matches!(self, Self::Push | Self::Pull)
    }

    /// Name in the journal and in metrics, from which it is parsed.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
