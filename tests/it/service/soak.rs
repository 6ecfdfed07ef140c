//! The soak: the binary for many minutes at half of the rate that it can keep up with; its memory
//! and its journal's file must not grow with what passes through. `scripts/soak.sh` runs it, with
//! the release binary.
//!
//! Growth by design: that an alert was there stays known for 400 days after its text is
//! gone, so the file is judged by what an alert leaves in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, Generator},
};
use tokio::task::block_in_place;

use crate::support::{
    app::App,
    broker::Broker,
    opencti::Personality,
    private_broker::PrivateBroker,
    stage::{Stage, http, post},
};

/// Alerts by which the top rate is measured, after as many to get warm.
const MEASURED: usize = 500;
/// Samples in all.
const SAMPLES: u32 = 40;
/// Largest ratio of the last quarter's memory to the third's.
const MEMORY_GROWTH_MAX: f64 = 1.10;
/// Bytes that an alert may leave in the journal's file: its row without the text, its incident's name, its
/// sighting, and the indexes that find them again, about 2 KiB. Text and work come to twice as much more.
const BYTES_LEFT_MAX: f64 = 3_072.0;

/// The figures of one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    pushed: u64,
    pending: u64,
    messages: u64,
    memory_kib: u64,
    journal_bytes: u64,
}

struct Soak {
    stage: Stage,
    app: App,
    webhook: String,
    management: String,
    generator: Generator,
    messages: Arc<AtomicU64>,
    pushed: u64,
    // Ends last.
    _broker: PrivateBroker,
}

impl Soak {
    async fn start() -> Self {
        let broker = block_in_place(PrivateBroker::start);
        let connected = Broker::connect_to(broker.url()).await;
        let mut stage = Stage::on(connected, Personality::V7_260817_0);
        stage.home = stage.home.with_webhook();
        for (name, value) in [
            ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
            ("CONNECTOR_DURATION_PERIOD", "PT1M"),
            ("HARFANGLAB_INCIDENTS_JOURNAL_RETENTION", "PT1M"),
            ("HARFANGLAB_INCIDENTS_API_RATE", "10000"),
        ] {
            stage.home.set(name, value);
        }
        stage.console.seed(Clock::system().now());
        let mut app = stage.home.start(&["serve"]);
        let (webhook, management) = (app.webhook().await, app.management().await);
        stage.opencti.wait_for("it is registered", |state| !state.connectors.is_empty()).await;
        let messages = Arc::new(AtomicU64::new(0));
        tokio::spawn(Arc::clone(&stage.broker).count_off(stage.queue(), Arc::clone(&messages)));
        let generator = Generator::new(77);
        Self { stage, app, webhook, management, generator, messages, pushed: 0, _broker: broker }
    }

    fn next_alerts(&mut self, count: usize) -> Vec<DemoAlert> {
        let now = Clock::system().now();
        let alerts: Vec<_> = (0..count).map(|_| self.generator.next_alert(now)).collect();
        for alert in &alerts {
            self.stage.console.add_alert(alert.api_item());
        }
        self.pushed += u64::try_from(count).unwrap();
        alerts
    }

    /// Pushes them, an alert a request, eight at once; each must be accepted.
    async fn push(&mut self, count: usize) {
        let alerts = self.next_alerts(count);
        let webhook = &self.webhook;
        stream::iter(&alerts)
            .for_each_concurrent(8, async |alert| {
                assert_eq!(post(webhook, &alert.native()).await.0.as_u16(), 202);
            })
            .await;
    }

    async fn pending(&self) -> u64 {
        let page = http().get(format!("{}/metrics", self.management)).send().await.unwrap();
        let page = page.text().await.unwrap();
        let of_state = |line: &&str| line.contains("journal_events{") && line.contains("pending");
        let line = page.lines().find(of_state).expect("the metric is there");
        let (_, value) = line.rsplit_once(' ').unwrap();
        value.parse().unwrap()
    }

    async fn drained(&self) {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while self.pending().await > 0 {
            looks.tick().await;
        }
    }

    /// Alerts a second: accepted at most, and from the push to the broker's confirmation.
    async fn top_rates(&mut self) -> (f64, f64) {
        let mut rates = (0.0, 0.0);
        for _ in ["to get warm", "to measure"] {
            let begin = Instant::now();
            self.push(MEASURED).await;
            let accepted = begin.elapsed();
            self.drained().await;
            let count = f64::from(u32::try_from(MEASURED).unwrap());
            rates = (count / accepted.as_secs_f64(), count / begin.elapsed().as_secs_f64());
        }
        rates
    }

    async fn sample(&self) -> Sample {
        self.stage.opencti.complete_closed_works();
        let journal = self.stage.home.journal();
        let size = |suffix: &str| {
            let file = format!("{}{suffix}", journal.display());
            std::fs::metadata(file).map_or(0, |file| file.len())
        };
        Sample {
            pushed: self.pushed,
            pending: self.pending().await,
            messages: self.messages.load(Ordering::Relaxed),
            memory_kib: self.app.memory_kib(),
            journal_bytes: size("") + size("-wal"),
        }
    }

    /// Pushes at this rate until the time is over.
    async fn run(&mut self, rate: f64, length: Duration) -> Vec<Sample> {
        let (begin, already) = (Instant::now(), self.pushed);
        let mut samples = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        println!(" minute   pushed  pending  messages  memory KiB  journal KiB");
        for number in 1..=SAMPLES {
            while begin.elapsed() < length * number / SAMPLES {
                ticks.tick().await;
                let due = Duration::as_secs_f64(&begin.elapsed()) * rate;
                let missing =
                    (due - f64::from(u32::try_from(self.pushed - already).unwrap())).max(0.0);
                let missing = Duration::from_secs_f64(missing).as_secs();
                self.push(usize::try_from(missing).unwrap()).await;
            }
            let sample = self.sample().await;
            let Sample { pushed, pending, messages, memory_kib, journal_bytes } = sample;
            let minute = begin.elapsed().as_secs_f64() / 60.0;
            let journal_kib = journal_bytes / 1_024;
            println!(
                "{minute:>7.1} {pushed:>8} {pending:>8} {messages:>9} {memory_kib:>11} {journal_kib:>12}"
            );
            samples.push(sample);
        }
        samples
    }
}

fn mean(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> f64 {
    let sum: f64 =
        samples.iter().map(|sample| Duration::from_secs(value(sample)).as_secs_f64()).sum();
    sum / f64::from(u32::try_from(samples.len()).unwrap())
}

/// The second half must be flat.
fn judge(samples: &[Sample]) {
    let quarter = samples.len() / 4;
    let (third, last) = (&samples[2 * quarter..3 * quarter], &samples[3 * quarter..]);
    let memory = mean(last, |sample| sample.memory_kib) / mean(third, |sample| sample.memory_kib);
    // Between two rounds of pruning the file grows; right after one it shows what is left for good.
    let smallest = |samples: &[Sample]| {
        let journal = samples.iter().map(|sample| sample.journal_bytes).min();
        Duration::from_secs(journal.expect("a quarter has samples")).as_secs_f64()
    };
    let grown = smallest(last) - smallest(third);
    let passed = mean(last, |sample| sample.pushed) - mean(third, |sample| sample.pushed);
    let left = grown / passed;
    println!(
        "last quarter to third: memory × {memory:.3} (at most {MEMORY_GROWTH_MAX}), {left:.0} bytes \
         of journal for each alert that passed (at most {BYTES_LEFT_MAX})"
    );
    assert!(memory < MEMORY_GROWTH_MAX, "memory grows");
    assert!(left < BYTES_LEFT_MAX, "the journal's file grows with what was delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: scripts/soak.sh runs it"]
async fn at_half_the_top_rate_memory_and_file_stay_flat_and_nothing_fails() {
    let minutes = std::env::var("HARFANGLAB_INCIDENTS_TEST_SOAK_MINUTES");
    let minutes: f64 = minutes.map_or(20.0, |text| text.parse().expect("minutes are a number"));
    let mut soak = Soak::start().await;
    let (accepted, sustained) = soak.top_rates().await;
    let rate = sustained / 2.0;
    println!(
        "{accepted:.0} alerts/s accepted, {sustained:.0} alerts/s from push to confirmation; \
         soaking at {rate:.0} alerts/s for {minutes} minutes"
    );
    let samples = soak.run(rate, Duration::from_secs_f64(minutes * 60.0)).await;
    soak.drained().await;
    assert!(soak.app.terminate().await.success());
    let log = soak.app.whole_log().await;
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert_eq!(errors, Vec::<&str>::new());
    let forgot = log.lines().filter(|line| line.contains("the journal forgot")).count();
    println!("{forgot} rounds of pruning, no error");
    assert!(forgot > 0, "the journal was never pruned");
    judge(&samples);
}
