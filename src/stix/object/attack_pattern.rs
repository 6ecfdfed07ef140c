//! Techniques of MITRE ATT&CK: shared public knowledge.

use serde::Serialize;

use super::{KillChainPhase, Object};
use crate::stix::id;

/// `attack-pattern`. It has no dates, which STIX requires and the platform does not: it takes the
/// earliest `created` that anybody sends for everyone's, and a date of ours says nothing of MITRE's
/// technique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttackPattern {
    /// MITRE's name.
    pub name: &'static str,
    /// Its number in upper case: the platform knows it by this.
    pub x_mitre_id: &'static str,
    /// Its tactics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kill_chain_phases: Vec<KillChainPhase>,
}

impl Object for AttackPattern {
    const TYPE: &'static str = "attack-pattern";

    fn id(&self) -> String {
        id::technique(Self::TYPE, self.name, Some(self.x_mitre_id))
    }
}
