//! The endpoint an alert comes from.

/// The HarfangLab agent (host) of an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// `agentid`.
    pub id: Option<String>,
    /// `hostname` as the agent spells it.
    pub hostname: Option<String>,
    /// `domainname`, else `domain`, else `dnsdomainname`.
    pub domain: Option<String>,
    /// `ostype` in lower case: `windows`, `linux`, `macos`.
    pub os_type: Option<String>,
    /// `osproducttype`, for example `Windows Server 2019 Standard`.
    pub os_product: Option<String>,
    /// `osversion`.
    pub os_version: Option<String>,
    /// `ipaddress`, and every further own address (ECS `host.ip[]`).
    pub ip_addresses: Vec<String>,
    /// `version` of the agent.
    pub version: Option<String>,
}

/// A group of agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Group {
    /// Group id.
    pub id: Option<String>,
    /// Group name.
    pub name: Option<String>,
}
