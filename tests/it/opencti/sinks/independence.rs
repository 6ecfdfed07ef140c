//! Queue, folder and S3 at once, with each of them away in turn: the others get every alert as fast as
//! before. While one hangs they get several before it is given up on: one after the other they would wait for
//! that with the first. With `--long` each is away for a minute and the latencies are compared, too.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use harfanglab_incidents::{clock::Clock, demo::Generator};
use url::Url;

use super::combined::with_s3;
use crate::support::{
    app::is_long,
    relay::Relay,
    s3::S3Server,
    stage::{Stage, post},
    stores::open_sqlite_beside,
    waiting::until,
};

/// From one alert to the next.
const EVERY: Duration = Duration::from_millis(500);
/// After this long without an answer S3 is given up on; the queue is waited for longer.
const GIVEN_UP: Duration = Duration::from_secs(15);
/// Alerts that the others get until then, which take a second or two.
const MEANWHILE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Queue,
    Folder,
    S3,
}

const WAYS: [Way; 3] = [Way::Queue, Way::Folder, Way::S3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Every connection is closed at once; the folder is a file.
    Stopped,
    /// Connections are taken, and nothing is answered.
    Hanging,
}

struct Ways {
    stage: Stage,
    webhook: String,
    generator: Generator,
    pushed: usize,
    broker: Relay,
    s3: Relay,
    bucket: S3Server,
    folder: PathBuf,
}

fn address(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    (url.host_str().unwrap(), url.port().unwrap()).to_socket_addrs().unwrap().next().unwrap()
}

fn bundles_in(folder: &Path) -> usize {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    files.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "json").count()
}

impl Ways {
    async fn has(&self, way: Way) -> usize {
        match way {
            Way::Queue => {
                self.stage.opencti.works().iter().filter(|work| work.closed.is_some()).count()
            }
            Way::Folder => bundles_in(&self.folder),
            Way::S3 => self.bucket.names().await.len(),
        }
    }

    /// Pushes an alert and waits for it on these ways; returns the longest time that it took on any.
    async fn push(&mut self, ways: &[Way]) -> Duration {
        let mut before = Vec::new();
        for way in ways {
            before.push((*way, self.has(*way).await));
        }
        let alert = self.generator.next_alert(Clock::system().now());
        let pushed_at = Instant::now();
        assert_eq!(post(&self.webhook, &alert.native()).await.0.as_u16(), 202);
        self.pushed += 1;
        for (way, before) in before {
            until(&format!("{way:?} gets it"), async || {
                (self.has(way).await > before).then_some(())
            })
            .await;
        }
        pushed_at.elapsed()
    }

    /// Pushes for so long, one alert after the other; returns how long each took on these ways.
    async fn push_for(&mut self, time: Duration, ways: &[Way]) -> Vec<Duration> {
        let mut turns = tokio::time::interval(EVERY);
        let (until, mut took) = (Instant::now() + time, Vec::new());
        while Instant::now() < until {
            turns.tick().await;
            took.push(self.push(ways).await);
        }
        took.sort();
        took
    }

    fn begin(&self, way: Way, fault: Fault) {
        match (way, fault) {
            (Way::Queue, Fault::Stopped) => self.broker.close(),
            (Way::Queue, Fault::Hanging) => self.broker.hold_answers(),
            (Way::S3, Fault::Stopped) => self.s3.close(),
            (Way::S3, Fault::Hanging) => self.s3.hold_answers(),
            (Way::Folder, _) => {
                fs::rename(&self.folder, self.folder.with_extension("away")).unwrap();
                fs::write(&self.folder, "").unwrap();
            }
        }
    }

    fn end(&self, way: Way) {
        let wire = match way {
            Way::Queue => &self.broker,
            Way::S3 => &self.s3,
            Way::Folder => {
                fs::remove_file(&self.folder).unwrap();
                return fs::rename(self.folder.with_extension("away"), &self.folder).unwrap();
            }
        };
        wire.open();
    }
}

fn told(took: &[Duration]) -> String {
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
    format!("{} alerts: p50 {} ms, p95 {} ms, max {} ms", took.len(), at(50), at(95), at(100))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_any_sink_is_away_the_others_get_every_alert() {
    let bucket = S3Server::connect();
    let mut stage = Stage::with_webhook().await;
    with_s3(&mut stage, &bucket);
    let amqp = std::env::var("HARFANGLAB_INCIDENTS_TEST_AMQP_URL").unwrap();
    let mut s3_told = bucket.told();
    let s3_at = format!("http://{}:{}", s3_told["endpoint"].as_str().unwrap(), s3_told["port"]);
    let (broker, s3) = (Relay::to(address(&amqp)).await, Relay::to(address(&s3_at)).await);
    s3_told["endpoint"] = s3.address().ip().to_string().into();
    s3_told["port"] = s3.address().port().into();
    stage.opencti.tell_s3(s3_told);
    let folder = stage.home.path().join("bundles");
    for (name, value) in [
        ("MQ_HOST", broker.address().ip().to_string()),
        ("MQ_PORT", broker.address().port().to_string()),
        ("CONNECTOR_SEND_TO_DIRECTORY", "true".to_owned()),
        ("CONNECTOR_SEND_TO_DIRECTORY_PATH", folder.to_str().unwrap().to_owned()),
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01".to_owned()),
        ("HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT", "PT0S".to_owned()),
        ("HARFANGLAB_INCIDENTS_ENRICHMENT_TIME", "PT0S".to_owned()),
        ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT5S".to_owned()),
    ] {
        stage.home.set(name, &value);
    }
    stage.console.seed(Clock::system().now());
    let mut app = stage.home.start(&["serve"]);
    let webhook = app.webhook().await;
    let generator = Generator::new(19);
    let mut ways = Ways { stage, webhook, generator, pushed: 0, broker, s3, bucket, folder };
    let time = Duration::from_secs(if is_long() { 60 } else { 4 });
    let _first = ways.push(&WAYS).await;
    let before = if is_long() { Duration::from_secs(30) } else { EVERY };
    for (way, fault) in [
        (Way::S3, Fault::Hanging),
        (Way::S3, Fault::Stopped),
        (Way::Folder, Fault::Stopped),
        (Way::Queue, Fault::Hanging),
        (Way::Queue, Fault::Stopped),
    ] {
        let others: Vec<Way> = WAYS.into_iter().filter(|other| *other != way).collect();
        // Just before, since reading the bucket takes longer with each alert.
        let usual = ways.push_for(before, &others).await;
        eprintln!("all there: {}", told(&usual));
        ways.begin(way, fault);
        if fault == Fault::Hanging {
            let began = Instant::now();
            for _alert in 0..MEANWHILE {
                ways.push(&others).await;
            }
            let took = began.elapsed();
            assert!(took < GIVEN_UP, "{way:?} hangs: the others took {took:?}");
        }
        let took = ways.push_for(time, &others).await;
        ways.end(way);
        eprintln!("{way:?} {fault:?}: the others: {}", told(&took));
        if is_long() {
            let (median, usual) = (took[took.len() / 2], usual[usual.len() / 2]);
            assert!(median < usual * 3, "{way:?} {fault:?}: {median:?}, without it {usual:?}");
        }
        let pushed = ways.pushed;
        until(&format!("{way:?} gets what it missed"), async || {
            (ways.has(way).await >= if way == Way::Queue { 1 } else { pushed }).then_some(())
        })
        .await;
    }
    let url = format!("sqlite:{}", ways.stage.home.journal().display());
    let console = ways.stage.console.url().to_string();
    let journal = open_sqlite_beside(&url, &console).await;
    let drained = async || journal.is_drained().await.unwrap().then_some(());
    until("everything is delivered", drained).await;
    assert!(app.terminate().await.success(), "{}", app.log());
}
