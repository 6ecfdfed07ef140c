//! External references and kill-chain phases: they live inside other objects.

use serde::Serialize;

/// An entry of `external_references`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalReference {
    /// The source of the reference, two characters or more.
    pub source_name: String,
    /// Link.
    pub url: String,
    /// Id that the source gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// An entry of `kill_chain_phases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KillChainPhase {
    kill_chain_name: &'static str,
    phase_name: String,
}

impl KillChainPhase {
    /// A tactic of MITRE ATT&CK, in lower case with hyphens (`lateral-movement`).
    pub fn mitre_attack(tactic: &str) -> Self {
        Self { kill_chain_name: "mitre-attack", phase_name: tactic.to_owned() }
    }
}
