//! `demo`: the whole road in one process, with a simulated console and a directory for OpenCTI.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{arguments::DemoArguments, failure::Failure, output, runtime};
use crate::{
    clock::Clock,
    config::{Settings, StartDate, WebhookScheme},
    demo::{
        DemoConsole, DemoConsoleConfig, Generator, HmacCredentials, PushDialect, PushPlan,
        PushSummary, Pushed, Pusher,
    },
    journal::Journal,
    opencti::{Delivery, DeliveryError, Sink},
    service::Service,
};

/// Seed of the simulated alerts.
const SEED: u64 = 20_260_526;
/// Between two looks whether everything has left.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two sweeps of the demo.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);
const SIGNATURE_HEADER: &str = "X-Signature-256";

/// Runs the demonstration until its count is reached or the process is told to stop.
pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    Ok(runtime::run(|stop| demonstrate(arguments, Clock::system(), stop))??)
}

async fn demonstrate(
    arguments: &DemoArguments,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let folder = arguments.directory.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("harfanglab-incidents-demo-{}", std::process::id()))
    });
    let bundles = folder.join("bundles");
    std::fs::create_dir_all(&bundles)
        .with_context(|| format!("cannot make the folder {}", bundles.display()))?;
    let console = DemoConsole::start(DemoConsoleConfig::default())?;
    console.seed(clock.now());

    let secret = SecretString::from("demo-webhook-secret");
    let settings = settings(&folder, &bundles, &console, &secret, &clock);
    let narrator = Arc::new(Narrator::default());
    let service =
        Service::start(settings, clock.clone(), vec![Arc::clone(&narrator) as Arc<dyn Sink>])
            .await?;
    let address = service.webhook_address().context("the demo's endpoint is not open")?;
    let target = format!("http://{address}/webhooks/harfanglab");
    say(&format!("A simulated HarfangLab console pushes to {target}"));
    say(&format!("Journal and bundles: {}", folder.display()));

    let plan = PushPlan {
        target: target.parse()?,
        header: "Authorization".to_owned(),
        secret: secret.clone(),
        hmac: Some(HmacCredentials { header: SIGNATURE_HEADER.to_owned(), secret }),
        alerts_per_second: arguments.rate,
        count: arguments.alerts(),
    };
    let journal = service.journal();
    let ending = CancellationToken::new();
    let mut running = tokio::spawn(service.run(ending.clone()));
    let pushing = stop.run_until_cancelled(async {
        let summary = push(plan, &console, &clock, &narrator).await?;
        wait_until_all_left(&journal).await?;
        anyhow::Ok(summary)
    });
    let pushed = tokio::select! {
        pushed = pushing => pushed,
        ended = &mut running => return Ok(ended??),
    };
    ending.cancel();
    running.await??;
    let summary = pushed.transpose()?.unwrap_or_default();
    let counts = journal.counts().await?;
    say(&format!(
        "{} alerts in ({} telemetry events acknowledged and not kept), {} incidents out, {} dead \
         letters. Look at {}",
        narrator.pushed(),
        summary.telemetry,
        narrator.incidents(),
        counts.dead,
        bundles.display()
    ));
    ensure!(
        summary.refused == 0 && counts.dead == 0,
        "{} alerts were refused and {} ended as dead letters",
        summary.refused,
        counts.dead
    );
    Ok(())
}

fn settings(
    folder: &Path,
    bundles: &Path,
    console: &DemoConsole,
    secret: &SecretString,
    clock: &Clock,
) -> Settings {
    let journal = format!("sqlite:{}", folder.join("journal.db").display());
    let mut settings = Settings::embedded(journal, bundles.to_owned(), console.settings());
    let console = &mut settings.consoles[0];
    console.webhook.schemes = vec![WebhookScheme::Header, WebhookScheme::Hmac];
    console.webhook.secrets = vec![secret.clone()];
    console.webhook.hmac_header = Some(SIGNATURE_HEADER.to_owned());
    console.import.start = StartDate::At(clock.now());
    settings.connector.duration_period = SWEEP_PERIOD;
    settings
}

async fn push(
    plan: PushPlan,
    console: &DemoConsole,
    clock: &Clock,
    narrator: &Narrator,
) -> anyhow::Result<PushSummary> {
    let (reports, mut reported) = mpsc::channel(16);
    let pushing = Pusher::run(plan, Generator::new(SEED), console, clock, reports);
    let telling = async {
        while let Some(pushed) = reported.recv().await {
            narrator.tell_pushed(&pushed);
        }
    };
    let (summary, ()) = tokio::join!(pushing, telling);
    Ok(summary?)
}

async fn wait_until_all_left(journal: &Journal) -> anyhow::Result<()> {
    while !journal.is_drained().await? {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Writes a line to standard output.
fn say(line: &str) {
    // A reader that closed the pipe has seen enough.
    let _closed = output::print(&format!("{line}\n"));
}

/// Tells on standard output what goes in and what comes out.
#[derive(Default)]
struct Narrator {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    pushed: u64,
    incidents: std::collections::BTreeSet<String>,
}

impl Narrator {
    fn pushed(&self) -> u64 {
        self.told.lock().pushed
    }

    fn incidents(&self) -> usize {
        self.told.lock().incidents.len()
    }

    fn tell_pushed(&self, pushed: &Pushed) {
        self.told.lock().pushed += 1;
        let way = match pushed.dialect {
            PushDialect::Ecs => "ECS, secret header",
            PushDialect::Native => "native, secret header",
            PushDialect::SignedNative => "native, HMAC",
        };
        say(&format!("in   {} on {}  [{way}] -> {}", pushed.title, pushed.host, pushed.status));
    }
}

#[async_trait]
impl Sink for Narrator {
    fn name(&self) -> &'static str {
        "narrator"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        for bundle in &delivery.bundles {
            let text = |object: &serde_json::Map<String, serde_json::Value>, field: &str| {
                object.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
            };
            let incident = bundle.objects.iter().find(|object| text(object, "type") == "incident");
            if let Some(incident) = incident {
                self.told.lock().incidents.insert(text(incident, "id"));
                say(&format!(
                    "out  {}  [{} objects, severity {}]",
                    text(incident, "name"),
                    bundle.objects.len(),
                    text(incident, "severity")
                ));
            }
        }
        vec![Ok(()); delivery.bundles.len()]
    }
}
