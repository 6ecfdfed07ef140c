//! The ways by which a notification comes.

/// The way by which a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    const ALL: [Self; 4] = [Self::Push, Self::Pull, Self::Sweep, Self::FollowUp];

    /// Returns the origin that the journal calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == name)
    }

    /// Returns whether it tells what happened when it happened, and may come late; what a sweep finds is how
    /// it is now.
    pub fn is_told_by_console(self) -> bool {
        matches!(self, Self::Push | Self::Pull)
    }

    /// Name in the journal and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Sweep => "sweep",
            Self::FollowUp => "follow-up",
        }
    }
}
