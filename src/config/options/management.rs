//! The management address: status page, health and metrics; and where `config.yml` is.

use std::net::SocketAddr;

use secrecy::SecretString;

use crate::config::{
    declare::settings,
    option::{list, secret, text, whole},
    parse::{self, Refusal},
};

settings! { MANAGEMENT "Status page, health and metrics":
    /// The management address.
    #[derive(Debug, Clone)]
    pub struct ManagementSettings {
        also HARFANGLAB_INCIDENTS_CONFIG: text("the path of config.yml").environment_only();
        /// Status page, health and metrics; keep it away from the internet.
        listen: SocketAddr = HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN:
            text("an address and port such as 127.0.0.1:9090").default("127.0.0.1:9090")
                .row("status page, health and metrics");
        /// Connections at once; the one that is open longest is closed for a new one.
        max_connections: usize = HARFANGLAB_INCIDENTS_MANAGEMENT_MAX_CONNECTIONS: whole(8, 100_000)
            .default("512");
        /// Wrong tokens a minute that one address (of IPv6: one /64) may give to the status page; above it
        /// 429. The right token is taken at any time.
        max_failures_per_minute: u32 = HARFANGLAB_INCIDENTS_MANAGEMENT_MAX_FAILURES: whole(1, 1_000_000)
            .note("wrong tokens a minute").default("10");
        /// Names under which the management address answers besides IP addresses, names without dots, *.svc
        /// and *.svc.cluster.local, such as the name that a proxy passes on or that Prometheus asks for.
        /// Every other name is refused with 421, so that no web page can have its own name lead here (DNS
        /// rebinding).
        hosts: Vec<String> = HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS:
            list("host names without a port, such as incidents.example.org")
                .row("[names with dots](deploy/security.md#what-is-reachable) under which these answer"),
            by parse::host_name;
        /// The password of the status page; one of less than 16 characters is refused. With it the page shows
        /// texts of dead letters, tries them again and drops them; without it, it does not.
        token: Option<SecretString> = HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN:
            secret("a token of at least 16 characters, such as `openssl rand -hex 32` makes")
                .row_with("none: read-only", "password of the status page"), by management_token;
    }
}

/// Whoever knows it may read alerts and drop them, so that one that can be guessed is refused.
fn management_token(text: &str) -> Result<SecretString, Refusal> {
    let token = parse::token(text)?;
    if token.chars().count() < 16 {
        return Err("can be guessed".to_owned());
    }
    Ok(SecretString::from(token))
}
