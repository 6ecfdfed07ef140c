//! The pushing side, as HarfangLab does it: first a connection test (`{}`), then every second alert
//! as the Elastic connector (ECS, one object a request, among ten times as much telemetry, a static
//! header) and every other one as a syslog forwarder posts it (native JSON; half of these with an
//! HMAC header instead of the static one, as a signing proxy adds).

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{
    DemoAlert, DemoConsole, Generator,
    plan::{HmacCredentials, PushDialect, PushError, PushPlan, PushSummary, Pushed},
};
use crate::{
    clock::Clock,
    config::TlsVerification,
    outbound::{self, ServerTrust},
};

/// Telemetry events per ECS alert.
const TELEMETRY_PER_ALERT: u64 = 10;
/// Tries of one push.
const TRIES: u32 = 5;
/// Longest pause a receiver is granted, and the pause when it asks for none.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const DEFAULT_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pushes a plan.
pub struct Pusher {
    plan: PushPlan,
    http: reqwest::Client,
}

enum Credential<'a> {
    Static,
    Signature(&'a HmacCredentials),
}

impl Pusher {
    /// Pushes until the plan's count is reached. Each alert is first added to `console`, so that
    /// whoever receives it can look it up; each answered alert is told to `reports`, whose closing
    /// ends nothing.
    pub async fn run(
        plan: PushPlan,
        mut generator: Generator,
        console: &DemoConsole,
        clock: &Clock,
        reports: mpsc::Sender<Pushed>,
    ) -> Result<PushSummary, PushError> {
        let http = ServerTrust::new(&TlsVerification::System)
            .and_then(|trust| outbound::client(&trust, TIMEOUT))
            .map_err(|error| PushError::Setup(error.to_string()))?;
        let pusher = Self { plan, http };
        pusher.test_connection().await?;
        let mut pace = pusher.pace();
        let mut summary = PushSummary::default();
        for number in 0..pusher.plan.count.unwrap_or(u64::MAX) {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let now = clock.now();
            let alert = generator.next_alert(now);
            console.add_alert(alert.api_item());
            let dialect = pusher.dialect(number);
            summary.telemetry += pusher.telemetry(dialect, &mut generator, now).await?;
            let status = pusher.alert(dialect, &alert).await?;
            if status.is_success() {
                summary.accepted += 1;
            } else {
                summary.refused += 1;
            }
            // A reader that has gone away misses the report, not the push.
            let _ = reports.send(report(dialect, &alert, status)).await;
        }
        Ok(summary)
    }

    fn pace(&self) -> Option<tokio::time::Interval> {
        let rate = self.plan.alerts_per_second;
        let period = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|each| !each.is_zero())?;
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(interval)
    }

    fn dialect(&self, number: u64) -> PushDialect {
        match (number % 4, &self.plan.hmac) {
            (0 | 2, _) => PushDialect::Ecs,
            (3, Some(_)) => PushDialect::SignedNative,
            _ => PushDialect::Native,
        }
    }

    async fn test_connection(&self) -> Result<(), PushError> {
        let status = self.post(&json!({}), &Credential::Static).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(PushError::TestRefused { target: self.plan.target.clone(), status: status.as_u16() })
    }

    async fn telemetry(
        &self,
        dialect: PushDialect,
        generator: &mut Generator,
        now: DateTime<Utc>,
    ) -> Result<u64, PushError> {
        if dialect != PushDialect::Ecs {
            // A forwarder is set to alerts only as a rule; one event in passing shows that the
            // rest is not imported.
            self.post(&generator.native_telemetry(now), &Credential::Static).await?;
            return Ok(1);
        }
        for _ in 0..TELEMETRY_PER_ALERT {
            self.post(&generator.ecs_telemetry(now), &Credential::Static).await?;
        }
        Ok(TELEMETRY_PER_ALERT)
    }

    async fn alert(
        &self,
        dialect: PushDialect,
        alert: &DemoAlert,
    ) -> Result<StatusCode, PushError> {
        match (dialect, &self.plan.hmac) {
            (PushDialect::Ecs, _) => self.post(&alert.ecs(), &Credential::Static).await,
            (PushDialect::SignedNative, Some(hmac)) => {
                self.post(&alert.native(), &Credential::Signature(hmac)).await
            }
            _ => self.post(&alert.native(), &Credential::Static).await,
        }
    }

    /// Posts one object; a receiver that says 429 or 503 is asked again when it wishes.
    async fn post(
        &self,
        body: &Value,
        credential: &Credential<'_>,
    ) -> Result<StatusCode, PushError> {
        let body = body.to_string();
        let mut tries = 1;
        loop {
            let answer = self.attempt(body.clone(), credential).await;
            let (pause, result) = match answer {
                Ok(answer) => match (answer.status(), pause_asked_for(&answer)) {
                    (
                        status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE),
                        pause,
                    ) => (pause, Ok(status)),
                    (status, _) => return Ok(status),
                },
                Err(error) => (DEFAULT_PAUSE, Err(self.unreachable(error))),
            };
            if tries == TRIES {
                return result;
            }
            tries += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        body: String,
        credential: &Credential<'_>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let (name, value) = match credential {
            Credential::Static => (&self.plan.header, self.plan.secret.expose_secret().to_owned()),
            Credential::Signature(hmac) => (&hmac.header, signature(&hmac.secret, body.as_bytes())),
        };
        let request = self.http.post(self.plan.target.clone());
        let request = request.header(name, value).header(header::CONTENT_TYPE, "application/json");
        request.body(body).send().await
    }

    fn unreachable(&self, error: reqwest::Error) -> PushError {
        PushError::Unreachable {
            target: self.plan.target.clone(),
            why: error.without_url().to_string(),
        }
    }
}

fn report(dialect: PushDialect, alert: &DemoAlert, status: StatusCode) -> Pushed {
    Pushed {
        dialect,
        title: alert.rule_name().to_owned(),
        host: alert.host().to_owned(),
        unique_id: alert.unique_id().to_owned(),
        status: status.as_u16(),
    }
}

fn signature(secret: &SecretString, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn pause_asked_for(answer: &reqwest::Response) -> Duration {
    let seconds = answer.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(DEFAULT_PAUSE, Duration::from_secs).min(LONGEST_PAUSE)
}
