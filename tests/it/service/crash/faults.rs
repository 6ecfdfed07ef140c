//! Faults around the binary, and the binary itself, killed and started again.

use std::{collections::BTreeSet, net::ToSocketAddrs, sync::Arc, time::Duration};

use harfanglab_incidents::demo::{Collection, DemoConsole, Fault, RequestKind};
use tokio::{sync::watch, task::block_in_place};

use super::{Extent, producer::Ledger, store::Store};
use crate::support::{
    app::App,
    broker::Broker,
    opencti::Personality,
    private_broker::PrivateBroker,
    relay::Relay,
    stage::{Stage, post},
};

/// Requests that a frozen console leaves without an answer.
const FROZEN_REQUESTS: usize = 12;

/// The binary's ways to all that it needs.
struct Wires {
    broker: Relay,
    opencti: Relay,
    console: Relay,
}

impl Wires {
    fn cut_all(&self) {
        for wire in [&self.broker, &self.opencti, &self.console] {
            wire.cut();
        }
    }
}

/// A wire to where `authority`, a host with its port, listens.
pub(super) async fn wire_to(authority: &str) -> Relay {
    Relay::to(authority.to_socket_addrs().unwrap().next().unwrap()).await
}

/// The binary with everything around it.
pub(super) struct Surroundings {
    pub(super) stage: Stage,
    pub(super) console: Arc<DemoConsole>,
    broker: PrivateBroker,
    store: Store,
    wires: Wires,
    app: App,
    endpoint: watch::Sender<Option<String>>,
}

impl Surroundings {
    /// The binary with its journal in a file.
    pub(super) async fn with_file() -> Self {
        let (broker, stage) = Self::around().await;
        let store = Store::file(&stage.home);
        Self::new(broker, stage, store).await
    }

    /// The binary with its journal in a PostgreSQL that may be killed.
    pub(super) async fn with_server() -> Self {
        let (broker, mut stage) = Self::around().await;
        let store = Store::server(&mut stage.home).await;
        Self::new(broker, stage, store).await
    }

    async fn around() -> (PrivateBroker, Stage) {
        let broker = block_in_place(PrivateBroker::start);
        let connected = Broker::connect_to(broker.url()).await;
        let mut stage = Stage::on(connected, Personality::V7_260817_0);
        stage.home = stage.home.with_webhook();
        (broker, stage)
    }

    /// The binary started, each of its ways over a wire that can be cut.
    async fn new(broker: PrivateBroker, mut stage: Stage, store: Store) -> Self {
        let rabbitmq = &stage.broker.uri.authority;
        let console_url = stage.console.url();
        let wires = Wires {
            broker: wire_to(&format!("{}:{}", rabbitmq.host, rabbitmq.port)).await,
            opencti: wire_to(stage.opencti.url().trim_start_matches("http://")).await,
            console: wire_to(console_url.authority()).await,
        };
        for (name, value) in [
            ("MQ_HOST", wires.broker.address().ip().to_string()),
            ("MQ_PORT", wires.broker.address().port().to_string()),
            ("OPENCTI_URL", format!("http://{}", wires.opencti.address())),
            ("HARFANGLAB_INCIDENTS_URL", format!("http://{}", wires.console.address())),
        ] {
            stage.home.set(name, &value);
        }
        for (name, value) in [
            // What a push brought and was lost must not be repaired by the sweep.
            ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
            ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT2S"),
            ("HARFANGLAB_INCIDENTS_API_TIMEOUT", "PT2S"),
            // The simulated console need not be spared.
            ("HARFANGLAB_INCIDENTS_API_RATE", "1000"),
        ] {
            stage.home.set(name, value);
        }
        let console = Arc::clone(&stage.console);
        console.seed(harfanglab_incidents::clock::Clock::system().now());
        let mut app = stage.home.start(&["serve"]);
        let endpoint = watch::Sender::new(Some(app.webhook().await));
        Self { stage, console, broker, store, wires, app, endpoint }
    }

    /// Returns where to push, while it listens.
    pub(super) fn endpoint(&self) -> watch::Receiver<Option<String>> {
        self.endpoint.subscribe()
    }

    /// Pulls the plug and starts it again.
    async fn kill_and_start(&mut self) {
        self.endpoint.send_replace(None);
        self.app.kill().await;
        self.start().await;
    }

    async fn start(&mut self) {
        self.app = self.stage.home.start(&["serve"]);
        let url = self.app.webhook().await;
        self.endpoint.send_replace(Some(url));
    }

    /// Every connection of the binary breaks off.
    fn cut_all(&self) {
        self.wires.cut_all();
        self.store.cut();
    }

    /// The database is killed while deliveries come, and started again; the binary meets it as it is, or
    /// is killed with it and starts beside it.
    async fn kill_the_database(&mut self, ledger: &Ledger, binary: Binary) {
        self.store.crash();
        if binary == Binary::Killed {
            self.endpoint.send_replace(None);
            self.app.kill().await;
            self.store.start_again();
            return self.start().await;
        }
        ledger.one_more_turned_away().await;
        self.store.start_again();
    }

    /// Everything around is well again.
    pub(super) fn recover(&self) {
        self.stage.opencti.come_back();
        self.console.heal();
        self.console.set_latency(Duration::ZERO);
    }

    /// Stops it, then lets it deliver all that its journal holds.
    pub(super) async fn run_to_the_end(&mut self) {
        self.endpoint.send_replace(None);
        assert!(self.app.terminate().await.success(), "{}", self.app.log());
        self.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
        let mut last = self.stage.home.start(&["serve"]);
        assert!(last.exit().await.success(), "{}", last.log());
        self.stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    }

    /// Starts it once more and pushes one more alert.
    pub(super) async fn assert_that_it_still_works(&mut self) {
        let before = self.stage.opencti.works().len();
        self.start().await;
        let url = self.endpoint.borrow().clone().expect("it listens");
        let one_more = Ledger::new(u64::MAX, 1);
        let (status, answer) = post(&url, &one_more.alerts()[0].native()).await;
        assert_eq!((status.as_u16(), &answer["accepted"]), (202, &1.into()));
        self.stage
            .opencti
            .wait_for("one more alert is delivered", |state| {
                state.works[before..].iter().any(|work| work.closed.is_some())
            })
            .await;
    }
}

/// The binary when its database is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Lives,
    Killed,
}

/// A fault while the binary is killed.
#[derive(Debug, Clone, Copy)]
enum InjectedFault {
    None,
    WiresCut,
    BrokerKilled,
    DatabaseKilled,
    JournalLocked,
    OpenCtiAway,
    ConsoleFrozen,
    ConsoleFails,
}

/// Faults that happen by chance. Broker and database are killed by plan: that takes long.
const BY_CHANCE: [InjectedFault; 6] = [
    InjectedFault::None,
    InjectedFault::WiresCut,
    InjectedFault::JournalLocked,
    InjectedFault::OpenCtiAway,
    InjectedFault::ConsoleFrozen,
    InjectedFault::ConsoleFails,
];

/// The plan of what goes wrong when.
pub(super) struct Chaos {
    random: fastrand::Rng,
    extent: Extent,
    strikes: usize,
    /// The strikes that kill the broker.
    at_the_broker: BTreeSet<usize>,
    /// Those that kill the database.
    at_the_database: BTreeSet<usize>,
    story: Vec<(usize, InjectedFault)>,
}

impl Chaos {
    pub(super) fn new(extent: Extent) -> Self {
        let mut random = fastrand::Rng::with_seed(extent.seed);
        let Extent { kills, broker_kills, database_kills, .. } = extent;
        let mut spread = |strikes: usize| -> BTreeSet<usize> {
            let one_of = |number| kills * number / strikes..kills * (number + 1) / strikes;
            (0..strikes).map(|number| random.usize(one_of(number))).collect()
        };
        let at_the_broker = spread(broker_kills);
        let at_the_database: BTreeSet<usize> =
            spread(database_kills).difference(&at_the_broker).copied().collect();
        Self { random, extent, strikes: 0, at_the_broker, at_the_database, story: Vec::new() }
    }

    /// After how many acknowledged alerts it strikes next, at random within an equal share each, and
    /// where that share ends.
    pub(super) fn next_threshold(&mut self) -> Option<(usize, usize)> {
        let Extent { notifications, kills, .. } = self.extent;
        let share = |strike: usize| notifications * strike / kills.max(1);
        let strike = self.strikes;
        self.strikes += 1;
        let end = share(strike + 1);
        (strike < kills).then(|| (self.random.usize(share(strike)..end.max(1)), end))
    }

    /// Ends the fault before, makes another one, and kills the binary.
    pub(super) async fn strike(&mut self, around: &mut Surroundings, ledger: &Ledger) {
        around.recover();
        let by_chance = BY_CHANCE[self.random.usize(..BY_CHANCE.len())];
        let is_at_the_broker = self.at_the_broker.contains(&(self.strikes - 1));
        let is_at_the_database = self.at_the_database.contains(&(self.strikes - 1));
        let fault = match (is_at_the_broker, is_at_the_database) {
            (true, _) => InjectedFault::BrokerKilled,
            (false, true) => InjectedFault::DatabaseKilled,
            (false, false) => by_chance,
        };
        self.story.push((ledger.acknowledged(), fault));
        eprintln!("strike {} after {}: {fault:?}", self.strikes, ledger.acknowledged());
        match fault {
            InjectedFault::None | InjectedFault::DatabaseKilled => {}
            InjectedFault::WiresCut => around.cut_all(),
            InjectedFault::BrokerKilled => around.broker.crash(),
            InjectedFault::JournalLocked => around.store.lock(ledger).await,
            InjectedFault::OpenCtiAway => around.stage.opencti.go_down(),
            InjectedFault::ConsoleFrozen => around.console.fail_next(
                RequestKind::List(Collection::Alerts),
                FROZEN_REQUESTS,
                Fault::Hang,
            ),
            InjectedFault::ConsoleFails => around.console.fail_next(
                RequestKind::List(Collection::Alerts),
                FROZEN_REQUESTS,
                Fault::Status(500),
            ),
        }
        let is_killed = self.random.u8(..4) > 0;
        if is_at_the_database {
            let binary = if is_killed { Binary::Killed } else { Binary::Lives };
            around.kill_the_database(ledger, binary).await;
        } else if is_at_the_broker {
            // It comes up without a broker and takes what is pushed, until there is one again.
            around.kill_and_start().await;
            block_in_place(|| around.broker.start_again());
        } else if is_killed {
            around.kill_and_start().await;
        } else {
            // Cut and asked to stop at once, as a hurried operator does.
            around.cut_all();
            around.endpoint.send_replace(None);
            around.app.terminate().await;
            around.start().await;
        }
    }

    /// Returns what was done.
    pub(super) fn summary(&self) -> String {
        let story: Vec<String> =
            self.story.iter().map(|(at, fault)| format!("{fault:?} at {at}")).collect();
        let (brokers, databases) = (self.at_the_broker.len(), self.at_the_database.len());
        format!(
            "{} strikes, {brokers} at the broker, {databases} at the database: {}",
            self.story.len(),
            story.join(", ")
        )
    }
}
