//! A burst of pushes while the console is away: a few ask, the others leave at once with what they bring,
//! and all are completed once the console answers. A burst is 20 pushes; 300 with
//! `HARFANGLAB_INCIDENTS_TEST_LONG=1`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use harfanglab_incidents::{
    config::Settings,
    demo::{Collection, Fault, Generator, RequestKind},
    intake::dialect::Dialect,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::enrichment::rig_of_hanging_console;
use crate::support::{
    app::is_long,
    pipeline::{TestPipeline, has_page, start},
};

/// Tries of one look-up.
const QUICK_TRIES: u64 = 4;

/// A listener before the console that breaks connections off as they come until it is opened.
struct Gate {
    address: SocketAddr,
    refused: Arc<AtomicU64>,
    console: watch::Sender<Option<SocketAddr>>,
}

impl Gate {
    async fn closed() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = Arc::new(AtomicU64::new(0));
        let (console, opened) = watch::channel(None);
        let count = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Some(console) = *opened.borrow() else {
                    count.fetch_add(1, Ordering::SeqCst);
                    continue;
                };
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(console).await.unwrap();
                    let _ended = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, refused, console }
    }
}

/// Returns how many were pushed.
async fn push(rig: &TestPipeline) -> usize {
    let count = if is_long() { 300 } else { 20 };
    rig.console.seed(start());
    let mut generator = Generator::new(19);
    let mut pushes = Vec::with_capacity(count);
    for _push in 0..count {
        let alert = generator.next_alert(start());
        rig.console.add_alert(alert.api_item());
        pushes.push(alert.native());
    }
    rig.push_together(Dialect::NativeAlert, &pushes).await;
    count
}

/// All but those that tried first leave at once, those a little later, and all once more when the
/// console answers.
async fn all_leave_and_are_completed(
    rig: &mut TestPipeline,
    tried_first: usize,
    requests: impl Fn(&TestPipeline) -> u64,
    expected: u64,
    heal: impl FnOnce(&TestPipeline),
) {
    let count = push(rig).await;
    let bare = rig.delivered(count - tried_first).await;
    assert!(!bare.iter().any(has_page));
    assert_eq!(requests(rig), expected, "nobody else asked");
    let bare = rig.passed_until(count).await;
    assert!(!bare.iter().any(has_page));
    assert_eq!(requests(rig), expected, "nor did those, once more");
    heal(rig);
    let all = rig.passed_until(2 * count).await;
    assert!(all[count..].iter().all(has_page), "completed");
}

#[tokio::test]
async fn of_many_pushes_three_ask_a_console_that_answers_500_and_all_leave_and_are_completed() {
    let mut rig = TestPipeline::start(|settings| settings.pipeline.concurrency = 1).await;
    rig.console.fail_next(RequestKind::List(Collection::Alerts), 1_000, Fault::Status(500));
    let requests = |rig: &TestPipeline| rig.console.requests().total();
    let heal = |rig: &TestPipeline| rig.console.heal();
    all_leave_and_are_completed(&mut rig, 2, requests, 3 * QUICK_TRIES, heal).await;
}

#[tokio::test]
async fn of_many_pushes_three_ask_a_console_that_refuses_and_all_leave_and_are_completed() {
    let gate = Gate::closed().await;
    let change = |settings: &mut Settings| {
        settings.pipeline.concurrency = 1;
        settings.consoles[0].harfanglab.url = format!("http://{}/", gate.address).parse().unwrap();
    };
    let mut rig = TestPipeline::start(change).await;
    let requests = |_rig: &TestPipeline| gate.refused.load(Ordering::SeqCst);
    let heal = |rig: &TestPipeline| {
        let console = rig.console.settings().url.socket_addrs(|| None).unwrap()[0];
        gate.console.send_replace(Some(console));
    };
    all_leave_and_are_completed(&mut rig, 2, requests, 3 * QUICK_TRIES, heal).await;
}

#[tokio::test]
async fn of_many_pushes_one_asks_a_console_that_hangs_and_all_leave_and_are_completed() {
    let mut rig = rig_of_hanging_console().await;
    let requests = |rig: &TestPipeline| rig.console.requests().total();
    let heal = |rig: &TestPipeline| rig.console.heal();
    all_leave_and_are_completed(&mut rig, 0, requests, 1, heal).await;
}
