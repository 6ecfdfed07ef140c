//! Access to the status page.
//!
//! The token comes by HTTP Basic, as the password of any user: a browser keeps it for this origin
//! (scheme, host *and* port) alone, there is no session to steal or to store, and no script is needed.
//! A cookie would be sent to every port of the same host. Because a browser sends Basic credentials
//! along whoever asks it to, a change is only made for a request that the browser itself says comes
//! from this page (`Sec-Fetch-Site`, or `Origin` where that is missing).
//!
//! The right token is accepted from every address at any time: it is too long to be guessed, and nobody
//! who fails can lock out the operator with whom he shares an address. Who fails has to wait only
//! before he is told again that he failed.
//!
//! Does not live here: the names under which the page answers (`ops::host`).

use std::net::IpAddr;

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, HOST, ORIGIN},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::intake::attempts::FailedAttempts;

/// The page's token, if it has one, and who failed to give it.
pub(in crate::ops) struct Gate {
    /// Compared as digests, so that not even the length can be measured.
    digest: Option<[u8; 32]>,
    failures: FailedAttempts,
}

/// The person who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visitor {
    /// He gave no token: he sees numbers, times and reasons.
    Stranger,
    /// He gave the token: he also sees alerts, and may change things.
    Operator,
}

/// The reason for which somebody is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is missing or wrong: the browser is to ask for it.
    NoToken,
    /// There is no token that would let him in.
    NoneConfigured,
    /// He failed too often.
    Wait {
        /// The time to wait.
        seconds: u64,
    },
    /// The request does not come from this page.
    ForeignPage,
}

impl Gate {
    /// Answers 429 to an address that gives more wrong tokens than this a minute.
    pub(in crate::ops) fn new(token: Option<&SecretString>, max_failures_per_minute: u32) -> Self {
        let digest = token.map(|token| Sha256::digest(token.expose_secret()).into());
        Self { digest, failures: FailedAttempts::new(max_failures_per_minute) }
    }

    /// Returns whether there is a token at all.
    pub(super) fn has_token(&self) -> bool {
        self.digest.is_some()
    }

    /// Returns the person who asks; `Err` for a wrong token.
    pub(super) fn visitor(
        &self,
        request: &HttpRequest,
        now: DateTime<Utc>,
    ) -> Result<Visitor, Denied> {
        let Some((digest, given)) = self.digest.zip(request.headers().get(AUTHORIZATION)) else {
            return Ok(Visitor::Stranger);
        };
        let address = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        let password = given.to_str().ok().and_then(basic_password).unwrap_or_default();
        if bool::from(Sha256::digest(password).ct_eq(&digest)) {
            return Ok(Visitor::Operator);
        }
        if let Some(seconds) = self.failures.wait_seconds(address, now) {
            return Err(Denied::Wait { seconds });
        }
        self.failures.note(address, now);
        Err(Denied::NoToken)
    }

    /// Lets only operators through.
    pub(super) fn operator(&self, request: &HttpRequest, now: DateTime<Utc>) -> Result<(), Denied> {
        if !self.has_token() {
            return Err(Denied::NoneConfigured);
        }
        match self.visitor(request, now)? {
            Visitor::Operator => Ok(()),
            Visitor::Stranger => Err(Denied::NoToken),
        }
    }

    /// Lets only operators through, and only from this page.
    pub(super) fn change(&self, request: &HttpRequest, now: DateTime<Utc>) -> Result<(), Denied> {
        if !comes_from_here(request) {
            return Err(Denied::ForeignPage);
        }
        self.operator(request, now)
    }
}

/// `Basic dXNlcjpwYXNzd29yZA==`; the user may be anybody.
fn basic_password(header: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Returns whether the browser says that a form of this page sent it. What says neither is no browser that
/// anybody uses; the commands do the same without a browser.
fn comes_from_here(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_scheme, authority)| authority);
            authority.is_some() && authority == text(HOST.as_str())
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const TOKEN: &str = "a-token-of-the-tests";
    const FAILURES: u32 = 10;

    fn basic(password: &str) -> (&'static str, String) {
        ("authorization", format!("Basic {}", STANDARD.encode(format!("anybody:{password}"))))
    }

    #[test]
    fn the_token_opens_and_nothing_else_does_and_guessing_ends() {
        let gate = Gate::new(Some(&TOKEN.into()), FAILURES);
        let ask = |password: &str| {
            let request = TestRequest::default().insert_header(basic(password)).to_http_request();
            gate.visitor(&request, DateTime::UNIX_EPOCH)
        };
        assert_eq!(ask(TOKEN), Ok(Visitor::Operator));
        let stranger = TestRequest::default().to_http_request();
        assert_eq!(gate.visitor(&stranger, DateTime::UNIX_EPOCH), Ok(Visitor::Stranger));
        assert_eq!(gate.operator(&stranger, DateTime::UNIX_EPOCH), Err(Denied::NoToken));
        for wrong in ["", "A-token-of-the-tests", "a-token-of-the-tests "] {
            assert_eq!(ask(wrong), Err(Denied::NoToken), "{wrong:?}");
        }
        for _guess in 3..FAILURES {
            assert_eq!(ask("guess"), Err(Denied::NoToken));
        }
        assert!(matches!(ask("guess"), Err(Denied::Wait { .. })), "the tenth failure was the last");
        assert_eq!(ask(TOKEN), Ok(Visitor::Operator), "who has it is never locked out");
    }

    #[test]
    fn a_change_is_only_made_for_a_form_of_this_page() {
        let gate = Gate::new(Some(&TOKEN.into()), FAILURES);
        let change = |headers: &[(&'static str, &str)]| {
            let mut request = TestRequest::post().insert_header(basic(TOKEN));
            for (name, value) in headers {
                request = request.insert_header((*name, *value));
            }
            gate.change(&request.to_http_request(), DateTime::UNIX_EPOCH)
        };
        let host = ("host", "127.0.0.1:9090");
        let from = |origin| [host, ("origin", origin)];
        assert_eq!(change(&[("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(change(&from("http://127.0.0.1:9090")), Ok(()));
        for origin in ["http://127.0.0.1:8000", "https://evil.example", "null", ""] {
            assert_eq!(change(&from(origin)), Err(Denied::ForeignPage), "{origin}");
        }
        for site in ["same-site", "cross-site", "none"] {
            let headers = [("sec-fetch-site", site), from("http://127.0.0.1:9090")[1], host];
            assert_eq!(change(&headers), Err(Denied::ForeignPage), "{site}");
        }
        assert_eq!(change(&[host]), Err(Denied::ForeignPage));
    }

    #[test]
    fn without_a_token_nobody_is_an_operator() {
        let gate = Gate::new(None, FAILURES);
        let request = TestRequest::default().insert_header(basic("")).to_http_request();
        assert_eq!(gate.visitor(&request, DateTime::UNIX_EPOCH), Ok(Visitor::Stranger));
        assert_eq!(gate.operator(&request, DateTime::UNIX_EPOCH), Err(Denied::NoneConfigured));
    }
}
