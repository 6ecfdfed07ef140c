//! Techniques of MITRE ATT&CK: shared public knowledge.

use serde::Serialize;

use super::{KillChainPhase, Object};
use crate::stix::{id, time::Timestamp};

/// `attack-pattern`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttackPattern {
    /// MITRE's name.
    pub name: &'static str,
    /// Its number in upper case: the platform knows it by this.
    pub x_mitre_id: &'static str,
    /// Its tactics.
    pub kill_chain_phases: Vec<KillChainPhase>,
    /// Creation date.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
}

impl Object for AttackPattern {
    const TYPE: &'static str = "attack-pattern";

    fn id(&self) -> String {
        id::technique(Self::TYPE, self.name, Some(self.x_mitre_id))
    }
}
