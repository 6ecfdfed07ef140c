//! `healthcheck`: asks the service of the same configuration whether it is ready. For container
//! engines, which know only an exit code.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::{failure::Failure, output, setup};
use crate::outbound;

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Prints one line: `ready`, or `degraded` with what does not work, both success; else it fails
/// with the reason.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let address = setup::load(config)?.settings.management.listen;
    if address.port() == 0 {
        return Err(anyhow!(
            "HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN asks for any free port; give it a fixed one to \
             be asked at"
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let line = runtime.block_on(ask(reachable(address)))?;
    output::print(&format!("{line}\n"))
}

/// Returns the address at which a service that listens on `address` can be reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let client = outbound::direct_client(TIMEOUT).context("cannot make a client")?;
    let request = client.get(format!("http://{address}/readyz")).send();
    let response = request
        .await
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("nobody answers at {address}; is the service running?"))?;
    let is_ready = response.status().is_success();
    let stranger = || format!("what answers at {address} is not this service");
    let answer: Value =
        response.json().await.map_err(reqwest::Error::without_url).with_context(stranger)?;
    if !is_ours(&answer, is_ready) {
        return Err(anyhow!(stranger()));
    }
    if is_ready { Ok(words(&answer)) } else { Err(anyhow!("{}", words(&answer))) }
}

/// Returns whether `answer` is what `/readyz` says of a service that is, or is not, ready: anything may
/// listen at its address while it is down.
fn is_ours(answer: &Value, is_ready: bool) -> bool {
    let statuses: &[&str] = if is_ready { &["ready", "degraded"] } else { &["unready"] };
    answer["status"].as_str().is_some_and(|status| statuses.contains(&status))
        && answer["degraded"].is_object()
        && answer["role"].is_string()
}

/// The answer as one line.
fn words(answer: &Value) -> String {
    let status = answer["status"].as_str().unwrap_or("unknown");
    let mut reasons: Vec<String> = answer["degraded"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(part, reason)| format!("{part}: {}", reason.as_str().unwrap_or_default()))
        .collect();
    if let Some(reason) = answer["reason"].as_str().filter(|_| reasons.is_empty()) {
        reasons.push(reason.to_owned());
    }
    let line = std::iter::once(status.to_owned()).chain(reasons).collect::<Vec<_>>().join("; ");
    line.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_on_every_address_is_asked_on_this_machine() {
        for (listens, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn what_another_service_answers_at_the_address_is_not_believed() {
        let ready = json!({"status": "ready", "role": "alone", "degraded": {}});
        assert!(is_ours(&ready, true) && !is_ours(&ready, false));
        assert!(is_ours(&json!({"status": "unready", "role": "alone", "degraded": {}}), false));
        for other in [json!({"status": "ready"}), json!({"status": "ok"}), json!("ready")] {
            assert!(!is_ours(&other, true) && !is_ours(&other, false), "{other}");
        }
    }

    #[test]
    fn an_answer_is_one_line_with_every_reason_once() {
        let degraded = json!({"status": "degraded", "degraded": {"opencti": "away\nagain"}});
        assert_eq!(words(&degraded), "degraded; opencti: away again");
        let full = "the disk is full";
        let unready = json!({"status": "unready", "reason": full, "degraded": {"journal": full}});
        assert_eq!(words(&unready), "unready; journal: the disk is full");
        assert_eq!(words(&json!({"status": "ready", "degraded": {}})), "ready");
    }
}
