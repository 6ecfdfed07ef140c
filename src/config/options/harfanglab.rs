//! The console's REST API, and how long it is asked.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::certificates::TlsVerification;
use crate::{
    alert::element::MaxValues,
    config::{
        declare::{Value, settings},
        option::{OptionSpec, length, secret, switch, text, url, whole},
        parse::{self, Refusal},
    },
};

settings! { HARFANGLAB "The console":
    /// The console: `HARFANGLAB_INCIDENTS_URL`, `…_TOKEN`, `…_SSL_VERIFY` and our limits.
    #[derive(Debug, Clone)]
    pub struct HarfangLabSettings {
        /// The base URL of the console.
        url: Url = HARFANGLAB_INCIDENTS_URL:
            url("the base URL of the HarfangLab console, such as https://edr.example.org")
                .required("https://edr.example.org").own().row("the console");
        /// An API token of it.
        token: SecretString = HARFANGLAB_INCIDENTS_TOKEN: secret("an API token of the HarfangLab console")
            .required("ChangeMe").own().row("a token of its API"), by console_token;
        /// As `opencti.ssl_verify`, for the console.
        tls: TlsVerification = HARFANGLAB_INCIDENTS_SSL_VERIFY:
            text("true, false, or the path of a PEM file with the console's certificate authority")
                .default("true").inherited().row("`false`, or a file with the CA");
        /// The most requests a second.
        requests_per_second: u32 = HARFANGLAB_INCIDENTS_API_RATE: whole(1, 10_000)
            .note("requests a second").default("20").inherited();
        /// The most requests at once.
        concurrency: usize = HARFANGLAB_INCIDENTS_API_CONCURRENCY: whole(1, 1_000)
            .default("8").inherited();
        /// The longest one request may take. All look-ups of an alert together hold it back for a third of
        /// it (5 s at least, and their turn in `api_rate`): what the console has not answered by then is added
        /// later.
        request_timeout: Duration = HARFANGLAB_INCIDENTS_API_TIMEOUT: length("PT1S", "PT1H")
            .default("PT30S").inherited();
        /// The most values (texts, numbers, lists, objects) that are read of one alert, threat or item of an
        /// answer; fields that nothing is made of do not count. Real alerts have some hundred. One with more
        /// becomes a dead letter. Each value takes up to 400 bytes of memory while it is read.
        max_values: MaxValues = HARFANGLAB_INCIDENTS_MAX_VALUES: whole(1_000, 100_000)
            .default("10000").inherited()
            .row("most values that are read of one alert; one with more is a dead letter");
    }
}

settings! { ENRICHMENT "":
    /// Asking the console for what a notification does not say.
    #[derive(Debug, Clone)]
    pub struct EnrichmentSettings {
        /// The time for which an alert that the console does not show yet is held back, once, before it
        /// leaves with what is known.
        first_wait: Duration = HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT: length("PT0S", "PT10M")
            .default("PT1S").inherited();
        /// The time for which the console goes on being asked for what such an alert lacks; what is found
        /// is sent as a later version of the same incident. Then the sweep does.
        time: Duration = HARFANGLAB_INCIDENTS_ENRICHMENT_TIME: length("PT0S", "P1D")
            .default("PT10M").inherited();
        /// Import what is posted only once the console's API shows that it exists. What it does not show
        /// within `enrichment_time` becomes a dead letter; while the console cannot be asked, it waits.
        confirm: bool = HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM: switch().default("false").inherited();
    }
}

impl Value for MaxValues {
    fn parse(option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        option.whole(text).map(Self)
    }
}

/// The console's documentation shows the token behind `Token `, and so it is often pasted.
fn console_token(text: &str) -> Result<SecretString, Refusal> {
    let token = parse::token(text)?;
    let bare = token.strip_prefix("Token ").unwrap_or(&token).trim_start();
    Ok(SecretString::from(bare.to_owned()))
}
