//! The client itself: address, token, rate, concurrency. One [`Console`] is built for a service and
//! cloned; clones share connections, rate, slots and caches.
//!
//! A request first gets a slot (`HARFANGLAB_INCIDENTS_API_CONCURRENCY`), then its turn in the rate
//! (`…_API_RATE`), every try anew: what waits between two tries holds neither.

use std::{
    fmt,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::{
    ConsoleError,
    access::Access,
    answer::{Answer, BODY_LIMIT_BYTES, Request},
    cache::RuleCaches,
    lookup_batcher::LookupBatcher,
    retry,
};
use crate::{
    alert::element::MaxValues,
    config::HarfangLabSettings,
    outbound::{self, ClientError, ServerTrust},
};

/// Time for which what the console denied is not asked for again.
const DENIED_PAUSE: Duration = Duration::from_secs(5);

/// Longest address that is asked for, in bytes: less than common web servers take of a request's first
/// line. Addresses hold ids and names out of alerts, which may be of any length.
const ADDRESS_MAX_BYTES: usize = 8_000;

/// A HarfangLab console.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    trust: ServerTrust,
    base: Url,
    token: SecretString,
    authorization: HeaderValue,
    timeout: Duration,
    rate: DefaultDirectRateLimiter,
    slots: Semaphore,
    /// The turn of answers that are large.
    large_answers: Arc<Semaphore>,
    max_values: MaxValues,
    rules: RuleCaches,
    batcher: LookupBatcher,
    access: Access,
}

impl Console {
    /// Builds the client; asks nothing yet.
    pub fn new(settings: &HarfangLabSettings) -> Result<Self, ConsoleError> {
        Self::with_denied_pause(settings, DENIED_PAUSE)
    }

    /// As [`Console::new`], for whoever wants to ask again for what was denied after another pause.
    pub fn with_denied_pause(
        settings: &HarfangLabSettings,
        pause: Duration,
    ) -> Result<Self, ConsoleError> {
        let setup = |error: ClientError| ConsoleError::Setup(error.to_string());
        let trust = ServerTrust::new(&settings.tls).map_err(setup)?;
        let http = outbound::client(&trust, settings.request_timeout).map_err(setup)?;
        let token = bare_token(settings.token.expose_secret());
        let mut authorization = HeaderValue::try_from(format!("Token {token}")).map_err(|_| {
            ConsoleError::Setup(
                "HARFANGLAB_INCIDENTS_TOKEN has characters that no token has".to_owned(),
            )
        })?;
        authorization.set_sensitive(true);
        let rate = NonZeroU32::new(settings.requests_per_second).unwrap_or(NonZeroU32::MIN);
        Ok(Self(Arc::new(Inner {
            http,
            trust,
            base: base_url(&settings.url)?,
            token: SecretString::from(token),
            authorization,
            timeout: settings.request_timeout,
            rate: RateLimiter::direct(Quota::per_second(rate)),
            slots: Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            large_answers: Arc::new(Semaphore::new(1)),
            max_values: settings.max_values,
            rules: RuleCaches::new(),
            batcher: LookupBatcher::new(),
            access: Access::new(pause),
        })))
    }

    /// Asks for a path below the base, given as its segments (an empty last one makes the trailing
    /// slash), with quick tries. The JSON of the answer goes through `read`, inside the try: an
    /// answer that `read` finds [unreadable](ConsoleError::Unreadable) is asked for again. `None`
    /// is an empty body.
    pub(super) async fn get<T>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        read: impl Fn(Request<'_>, Option<Answer>) -> Result<T, ConsoleError>,
    ) -> Result<T, ConsoleError> {
        let url = self.url(segments, query)?;
        let request = Request {
            path: url.path(),
            timeout: self.0.timeout,
            token: self.0.token.expose_secret(),
            max_values: self.0.max_values,
            limit_bytes: BODY_LIMIT_BYTES,
        };
        let access = &self.0.access;
        retry::quickly(|| async {
            if let Some(denied) = access.denied_lately(request.path) {
                return Err(denied);
            }
            let answer = self.send(url.clone(), request, Some(&self.0.large_answers)).await;
            access.learn(request.path, &answer);
            read(request, answer?)
        })
        .await
    }

    /// As [`Console::get`], but with one try, up to `limit_bytes`, and without a wait for the turn of large
    /// answers: for what is lost when it is asked for and not read.
    pub(super) async fn get_once<T>(
        &self,
        segments: &[&str],
        limit_bytes: usize,
        read: impl Fn(Request<'_>, Option<Answer>) -> Result<T, ConsoleError>,
    ) -> Result<T, ConsoleError> {
        let url = self.url(segments, &[])?;
        let request = Request {
            path: url.path(),
            timeout: self.0.timeout,
            token: self.0.token.expose_secret(),
            max_values: self.0.max_values,
            limit_bytes,
        };
        let access = &self.0.access;
        if let Some(denied) = access.denied_lately(request.path) {
            return Err(denied);
        }
        let answer = self.send(url.clone(), request, None).await;
        access.learn(request.path, &answer);
        read(request, answer?)
    }

    /// Returns what the console denies us (401, 403), in an operator's words; `None` while it answers. What
    /// it denied is not asked for again for some seconds: the same error stands for an answer.
    pub fn denied(&self) -> watch::Receiver<Option<String>> {
        self.0.access.watch()
    }

    /// The servers that the client trusts.
    pub fn trust(&self) -> &ServerTrust {
        &self.0.trust
    }

    /// The most values that are built of an alert, a threat or an item.
    pub fn max_values(&self) -> MaxValues {
        self.0.max_values
    }

    pub(super) fn rules(&self) -> &RuleCaches {
        &self.0.rules
    }

    pub(super) fn batcher(&self) -> &LookupBatcher {
        &self.0.batcher
    }

    async fn send(
        &self,
        url: Url,
        request: Request<'_>,
        large: Option<&Arc<Semaphore>>,
    ) -> Result<Option<Answer>, ConsoleError> {
        let inner = &*self.0;
        // A look-up that is polled once, for what is known without asking, begins no request.
        tokio::task::yield_now().await;
        let _slot = inner.slots.acquire().await.map_err(|_| {
            ConsoleError::Setup("the client is shut down and takes no more requests".to_owned())
        })?;
        inner.rate.until_ready().await;
        let mut asked = Asked { began: Instant::now(), outcome: "given_up" };
        let answer = async {
            let response = inner
                .http
                .get(url)
                .header(AUTHORIZATION, inner.authorization.clone())
                .header(ACCEPT, HeaderValue::from_static("application/json"))
                .timeout(inner.timeout)
                .send()
                .await
                .map_err(|error| request.failure(error))?;
            request.read(response, large).await
        }
        .await;
        asked.outcome = answer.as_ref().map_or_else(ConsoleError::outcome, |_answer| "ok");
        answer
    }

    fn url(&self, segments: &[&str], query: &[(&str, String)]) -> Result<Url, ConsoleError> {
        ensure_askable(segments, query)?;
        let mut url = self.0.base.clone();
        url.path_segments_mut().map_err(|()| not_an_address())?.pop_if_empty().extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        if url.as_str().len() > ADDRESS_MAX_BYTES {
            return Err(ConsoleError::TOO_LONG);
        }
        Ok(url)
    }
}

/// A request, counted when it has ended, also by a deadline of whoever waits for it.
struct Asked {
    began: Instant,
    outcome: &'static str,
}

impl Drop for Asked {
    fn drop(&mut self) {
        metrics::histogram!("console_request_seconds").record(self.began.elapsed());
        metrics::counter!("console_requests_total", "outcome" => self.outcome).increment(1);
    }
}

/// Fails on values that would ask for something else, or at which a console breaks.
fn ensure_askable(segments: &[&str], query: &[(&str, String)]) -> Result<(), ConsoleError> {
    let unaskable = |why| Err(ConsoleError::Unaskable { why });
    // The last one may be empty: it makes the trailing slash.
    let named = segments.split_last().map_or(segments, |(_last, named)| named);
    if named.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
        return unaskable("it is empty, or a way to another part of the API");
    }
    if segments.iter().any(|segment| segment.contains(char::is_control)) {
        return unaskable("it has a control character");
    }
    // No database of a console keeps it, so that asking for it fails there.
    if query.iter().any(|(_, value)| value.contains('\0')) {
        return unaskable("it has the character 0");
    }
    Ok(())
}

impl fmt::Debug for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Console")
            .field("base", &self.0.base.as_str())
            .finish_non_exhaustive()
    }
}

/// The token without what the console's own examples put before it.
fn bare_token(pasted: &str) -> String {
    let token = pasted.trim();
    for prefix in ["Token ", "token ", "token_"] {
        if let Some(bare) = token.strip_prefix(prefix) {
            return bare.trim().to_owned();
        }
    }
    token.to_owned()
}

/// The base URL without what a request must not inherit: user and password, query, fragment.
fn base_url(given: &Url) -> Result<Url, ConsoleError> {
    let mut base = given.clone();
    base.set_query(None);
    base.set_fragment(None);
    base.set_username("").and_then(|()| base.set_password(None)).map_err(|()| not_an_address())?;
    Ok(base)
}

fn not_an_address() -> ConsoleError {
    ConsoleError::Setup(
        "HARFANGLAB_INCIDENTS_URL must be an address such as https://console.example:8443"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::config::TlsVerification;

    fn console(url: &str, token: &str) -> Result<Console, ConsoleError> {
        Console::new(&HarfangLabSettings {
            url: url.parse().unwrap(),
            token: SecretString::from(token),
            tls: TlsVerification::System,
            requests_per_second: 10,
            concurrency: 2,
            request_timeout: Duration::from_secs(1),
            max_values: MaxValues::default(),
        })
    }

    #[test]
    fn base_path_and_port_are_kept_and_no_slash_is_doubled() {
        let path = ["api", "data", "Alert", ""];
        for (base, expected) in [
            ("https://edr.example", "https://edr.example/api/data/Alert/"),
            ("https://edr.example:8443/", "https://edr.example:8443/api/data/Alert/"),
            ("https://edr.example:8443/a/b", "https://edr.example:8443/a/b/api/data/Alert/"),
            ("https://me:pw@edr.example/a/?x=1#y", "https://edr.example/a/api/data/Alert/"),
        ] {
            let url = console(base, "t").unwrap().url(&path, &[]).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let console = console("https://edr.example", "t").unwrap();
        let url = console.url(&["api", "a/../b?c#d", ""], &[]).unwrap();
        assert_eq!(url.as_str(), "https://edr.example/api/a%2F..%2Fb%3Fc%23d/");
    }

    #[test]
    fn what_would_ask_for_something_else_or_break_the_console_is_not_asked_for() {
        let console = console("https://edr.example", "t").unwrap();
        let agent = |id: &str| console.url(&["api", "data", "endpoint", "Agent", id, ""], &[]);
        let rule = |name: &str| console.url(&["api", ""], &[("rule_name__exact", name.to_owned())]);
        for id in ["", ".", "..", "a\nb", "a\0", &"a".repeat(8_000), &"é".repeat(2_000)] {
            assert!(agent(id).unwrap_err().is_unaskable(), "{} bytes", id.len());
        }
        assert!(agent(&"a".repeat(7_000)).is_ok() && agent("...").is_ok());
        for name in ["a\0b", &"a".repeat(8_000)] {
            let error = rule(name).unwrap_err();
            assert!(error.is_unaskable() && !error.is_transient(), "{error}");
        }
        assert!(rule("Two\nlines").is_ok());
    }

    #[test]
    fn a_pasted_prefix_is_not_part_of_the_token() {
        for pasted in ["abc123", " Token abc123\n", "token_abc123", "token abc123"] {
            assert_eq!(bare_token(pasted), "abc123");
        }
    }

    #[tokio::test]
    async fn a_look_up_that_is_polled_once_begins_no_request() {
        let console = console("https://edr.example", "t").unwrap();
        let mut agent = pin!(console.agent("a"));
        let mut page = pin!(console.page_of_push("b", None, None));
        assert!(agent.as_mut().now_or_never().is_none() && page.as_mut().now_or_never().is_none());
        assert_eq!(console.0.slots.available_permits(), 2);
    }

    #[test]
    fn neither_debug_nor_a_setup_error_shows_the_token() {
        let shown = format!("{:?}", console("https://edr.example", "s3cret").unwrap());
        assert!(shown.contains("edr.example") && !shown.contains("s3cret"), "{shown}");
        let error = console("https://edr.example", "s3c\nret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3c"), "{error}");
    }
}
