//! The names under which the management address answers, whatever it is bound to.
//!
//! By DNS rebinding a foreign page gives its own name the address of this machine, and its script may
//! then read every answer. It cannot make a browser send an address, a name without dots or a name of
//! the cluster as `Host`, so these are answered, and beside them the names that the operator lists
//! (`HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS`). A request without `Host` comes from no browser.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::{
    HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap},
    middleware::Next,
    web,
};

use super::Management;

/// Names of services inside a Kubernetes cluster.
const CLUSTER_SUFFIXES: [&str; 2] = [".svc", ".svc.cluster.local"];

/// Answers only under a name that cannot be a foreign page's: 421 to every other.
pub(super) async fn guarded(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let configured = request
        .app_data::<web::Data<Management>>()
        .map_or(&[][..], |management| management.hosts.as_slice());
    let authority = request.uri().authority().map(actix_web::http::uri::Authority::as_str);
    if authority.is_none_or(|host| is_answered(host, configured))
        && are_answered(request.headers(), configured)
    {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let refusal = "The management address answers under an IP address, a name without dots, *.svc and \
                   *.svc.cluster.local only. List other names, such as the one that a proxy or \
                   Prometheus asks for, in HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS.\n";
    let refusal = HttpResponse::MisdirectedRequest()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(refusal);
    Ok(request.into_response(refusal).map_into_right_body())
}

/// True when every `Host` of the request may be answered.
fn are_answered(headers: &HeaderMap, configured: &[String]) -> bool {
    headers
        .get_all(header::HOST)
        .all(|host| host.to_str().is_ok_and(|host| is_answered(host, configured)))
}

/// True for a host, with or without a port, that no foreign page can have.
fn is_answered(host: &str, configured: &[String]) -> bool {
    let Some(name) = without_port(host) else { return false };
    if let Some(address) = name.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').all(is_label)
        && (!name.contains('.')
            || CLUSTER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
            || configured.iter().any(|known| known == name))
}

/// `name:9090` or `[::1]:9090` without the port; `None` when what follows the colon is no port.
fn without_port(host: &str) -> Option<&str> {
    let after_address = host.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = host[after_address..].find(':') else {
        return Some(host);
    };
    let (name, port) = host.split_at(after_address + colon);
    port[1..].bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_plain_names_and_names_of_the_cluster_are_answered_in_every_spelling() {
        for host in [
            "127.0.0.1:9090",
            "192.0.2.7",
            "[::1]:9090",
            "[2001:DB8::7]",
            "localhost",
            "LOCALHOST:9090",
            "localhost.",
            "harfanglab-incidents:9090",
            "harfanglab_incidents",
            "incidents.opencti.svc:9090",
            "0.incidents.opencti.svc.cluster.local.:9090",
        ] {
            assert!(is_answered(host, &[]), "{host}");
        }
    }

    #[test]
    fn no_name_that_a_foreign_page_can_have_is_answered() {
        for host in [
            "",
            ".",
            ":9090",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "[::1].evil.example",
            "[::1]evil.example:1",
            "[evil.example]",
            "[::1",
            "::1",
            "localhost.evil.example",
            "svc",
            "svc.evil.example",
            "evil.svc.example",
            "evilsvc.example",
            "user@localhost",
            "localhost:9090.evil.example",
            "a..svc",
            "local host",
            "localhost,evil.example",
        ] {
            assert_eq!(is_answered(host, &[]), host == "svc", "{host}");
        }
    }

    #[test]
    fn a_configured_name_is_answered_and_no_name_below_it() {
        let configured = ["incidents.example.org".to_owned()];
        for host in ["incidents.example.org", "Incidents.Example.org.:443"] {
            assert!(is_answered(host, &configured), "{host}");
        }
        for host in ["a.incidents.example.org", "example.org", "incidents.example.org.evil.example"]
        {
            assert!(!is_answered(host, &configured), "{host}");
        }
    }
}
