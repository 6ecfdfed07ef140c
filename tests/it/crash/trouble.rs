//! What goes wrong around the binary, and the binary itself, killed and started again.

use std::{net::ToSocketAddrs, sync::Arc, time::Duration};

use harfanglab_incidents::demo::{Collection, DemoConsole, Fault, RequestKind};
use tokio::sync::watch;

use super::{Extent, producer::Ledger};
use crate::support::{
    app::App,
    relay::Relay,
    stage::{Stage, post},
};

/// Requests that a frozen console leaves without an answer.
const FROZEN_REQUESTS: usize = 12;

/// The binary with everything around it.
pub(super) struct Surroundings {
    pub(super) stage: Stage,
    pub(super) console: Arc<DemoConsole>,
    wire: Relay,
    app: App,
    endpoint: watch::Sender<Option<String>>,
}

impl Surroundings {
    /// The binary started, its way to RabbitMQ over a wire that can be cut.
    pub(super) async fn new() -> Self {
        let mut stage = Stage::with_webhook().await;
        let broker = &stage.broker.uri.authority;
        let address = (broker.host.as_str(), broker.port).to_socket_addrs().unwrap().next();
        let wire = Relay::to(address.unwrap()).await;
        for (name, value) in [
            ("MQ_HOST", wire.address().ip().to_string().as_str()),
            ("MQ_PORT", wire.address().port().to_string().as_str()),
            // What a push brought and was lost must not be repaired by the sweep.
            ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
            ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT2S"),
            ("HARFANGLAB_INCIDENTS_API_TIMEOUT", "PT2S"),
        ] {
            stage.home.set(name, value);
        }
        let console = Arc::clone(&stage.console);
        console.seed(harfanglab_incidents::clock::Clock::system().now());
        let mut app = stage.home.start(&["serve"]);
        let endpoint = watch::Sender::new(Some(app.webhook().await));
        Self { stage, console, wire, app, endpoint }
    }

    /// Where to push, while it listens.
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

/// What goes wrong while the plug is pulled.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    WireCut,
    OpenCtiAway,
    ConsoleFrozen,
    ConsoleFails,
}

const TROUBLES: [Trouble; 5] = [
    Trouble::None,
    Trouble::WireCut,
    Trouble::OpenCtiAway,
    Trouble::ConsoleFrozen,
    Trouble::ConsoleFails,
];

/// The plan of what goes wrong when.
pub(super) struct Chaos {
    random: fastrand::Rng,
    extent: Extent,
    strikes: usize,
    story: Vec<(usize, Trouble)>,
}

impl Chaos {
    pub(super) fn new(extent: Extent) -> Self {
        let random = fastrand::Rng::with_seed(extent.seed);
        Self { random, extent, strikes: 0, story: Vec::new() }
    }

    /// After how many acknowledged alerts it strikes next: at random within an equal share each.
    pub(super) fn next_threshold(&mut self) -> Option<usize> {
        let Extent { notifications, kills, .. } = self.extent;
        let share = |strike: usize| notifications * strike / kills.max(1);
        let strike = self.strikes;
        self.strikes += 1;
        (strike < kills).then(|| self.random.usize(share(strike)..share(strike + 1).max(1)))
    }

    /// Ends the trouble before, makes other trouble, and pulls the plug.
    pub(super) async fn strike(&mut self, around: &mut Surroundings, ledger: &Ledger) {
        around.recover();
        let trouble = TROUBLES[self.random.usize(..TROUBLES.len())];
        self.story.push((ledger.acknowledged(), trouble));
        match trouble {
            Trouble::None => {}
            Trouble::WireCut => around.wire.cut(),
            Trouble::OpenCtiAway => around.stage.opencti.go_down(),
            Trouble::ConsoleFrozen => around.console.fail_next(
                RequestKind::List(Collection::Alerts),
                FROZEN_REQUESTS,
                Fault::Hang,
            ),
            Trouble::ConsoleFails => around.console.fail_next(
                RequestKind::List(Collection::Alerts),
                FROZEN_REQUESTS,
                Fault::Status(500),
            ),
        }
        if self.random.u8(..4) > 0 {
            around.kill_and_start().await;
        } else {
            // Cut and asked to stop at once, as a hurried operator does.
            around.wire.cut();
            around.endpoint.send_replace(None);
            around.app.terminate().await;
            around.start().await;
        }
    }

    /// What was done.
    pub(super) fn summary(&self) -> String {
        let story: Vec<String> =
            self.story.iter().map(|(at, trouble)| format!("{trouble:?} at {at}")).collect();
        format!("{} strikes: {}", self.story.len(), story.join(", "))
    }
}
