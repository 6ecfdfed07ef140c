//! The cost of the service while nothing happens: memory, works, messages, requests, and its start.

use std::time::{Duration, Instant};

use harfanglab_incidents::clock::Clock;

use crate::{
    Plan,
    process::Usage,
    support::{app::App, broker::Broker, opencti::Personality, stage::Stage},
    table::{Bar, Figures, Row},
};

/// Empty sweeps before memory is read.
const SWEEPS: u64 = 10;
const LOOK: Duration = Duration::from_millis(20);

/// A started service in front of an empty console, and how long it took to listen, in milliseconds.
struct Idle {
    stage: Stage,
    app: App,
    to_listening: f64,
}

impl Idle {
    async fn start() -> Self {
        let mut stage = Stage::on(Broker::connect().await, Personality::V7_260817_0);
        stage.home = stage.home.with_webhook();
        stage.home.set("CONNECTOR_DURATION_PERIOD", "PT1S");
        stage.console.seed(Clock::system().now());
        let begin = Instant::now();
        let mut app = stage.home.start(&["serve"]);
        app.webhook().await;
        let to_listening = begin.elapsed().as_secs_f64() * 1_000.0;
        Self { stage, app, to_listening }
    }

    /// Waits until the console was asked in this many sweeps; an empty one asks at least once.
    async fn swept(&self) {
        let mut looks = tokio::time::interval(LOOK);
        while self.stage.console.requests().total() < 2 * SWEEPS {
            looks.tick().await;
        }
    }

    fn usage(&self) -> Usage {
        Usage::of(self.app.process_id()).expect("it runs")
    }

    async fn end(mut self) {
        assert!(self.app.terminate().await.success(), "{}", self.app.log());
        self.stage.broker.delete_queue(&self.stage.queue()).await;
    }
}

/// MiB of a service with nothing to do.
pub(crate) async fn resident() -> f64 {
    let idle = Idle::start().await;
    idle.swept().await;
    let resident = idle.usage().resident;
    idle.end().await;
    resident
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let [mut memory, mut own, mut start, mut works, mut messages] = [const { Vec::new() }; 5];
    for _ in 0..plan.rounds {
        let idle = Idle::start().await;
        start.push(idle.to_listening);
        idle.swept().await;
        memory.push(idle.usage().resident);
        own.push(idle.usage().own);
        let made = u32::try_from(idle.stage.opencti.works().len()).expect("not so many");
        works.push(f64::from(made));
        messages.push(f64::from(idle.stage.broker.depth(&idle.stage.queue()).await));
        idle.end().await;
    }
    vec![
        Row::alone("memory", "MiB", Figures::from(memory)).bar(Bar::AtMost(20.0)),
        Row::alone("memory without the pages of the program", "MiB", Figures::from(own)),
        Row::alone("works of empty sweeps", "", Figures::from(works)).bar(Bar::AtMost(0.0)),
        Row::alone("messages of empty sweeps", "", Figures::from(messages)).bar(Bar::AtMost(0.0)),
        Row::alone("start to listening, with a new journal", "ms", Figures::from(start))
            .bar(Bar::AtMost(100.0)),
    ]
}
