//! A wire that can be cut, held still or slowed down on the way back, and that counts what comes back:
//! connections go through it to an address.

use std::{
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

/// A relay on a free port of loopback. It ends with the test's runtime.
pub(crate) struct Relay {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
    answers_held: watch::Sender<bool>,
    is_closed: watch::Sender<bool>,
    way_back: WayBack,
}

/// The way of the answers.
#[derive(Clone, Default)]
struct WayBack {
    takes_us: Arc<AtomicU64>,
    answers: Arc<AtomicU64>,
}

impl Relay {
    /// To this address.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, answers_held) = (watch::Sender::new(0), watch::Sender::new(false));
        let is_closed = watch::Sender::new(false);
        let closed = is_closed.subscribe();
        let (cut, held) = (cuts.clone(), answers_held.clone());
        let way_back = WayBack::default();
        let way = way_back.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *closed.borrow() {
                    continue;
                }
                let (mut cut, held, way) = (cut.subscribe(), held.subscribe(), way.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(near, target, held, way) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts, answers_held, is_closed, way_back }
    }

    /// To the server of this database, with the URL by which the database is reached through it.
    pub(crate) async fn before_database(url: &str) -> (Self, String) {
        let mut url: Url = url.parse().unwrap();
        let server = (url.host_str().unwrap(), url.port().unwrap());
        let relay = Self::to(server.to_socket_addrs().unwrap().next().unwrap()).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(relay.address().port())).unwrap();
        (relay, url.into())
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, in the middle of whatever it carries. New ones go through.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on nothing comes back; what is sent goes through.
    pub(crate) fn hold_answers(&self) {
        self.answers_held.send_replace(true);
    }

    /// Returns the number of answers that came back so far: of round trips, as long as each answer is short.
    pub(crate) fn answers(&self) -> u64 {
        self.way_back.answers.load(Ordering::Relaxed)
    }

    /// From now on each answer takes this long, as on a long way.
    pub(crate) fn slow_down(&self, round_trip: Duration) {
        let takes_us = round_trip.as_micros().try_into().unwrap();
        self.way_back.takes_us.store(takes_us, Ordering::Relaxed);
    }

    /// Cuts every connection, and each new one at once, until it is opened again.
    pub(crate) fn close(&self) {
        self.is_closed.send_replace(true);
        self.cut();
    }

    /// New connections go through again, and what comes back on any.
    pub(crate) fn open(&self) {
        self.is_closed.send_replace(false);
        self.answers_held.send_replace(false);
    }
}

async fn carry(
    mut near: TcpStream,
    target: SocketAddr,
    held: watch::Receiver<bool>,
    way_back: WayBack,
) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let _at_once = (near.set_nodelay(true), far.set_nodelay(true));
    let ((mut asked, answers), (answered, mut asks)) = (near.split(), far.split());
    // That either end hangs up is what this is for.
    let there = async {
        let _ended = copy(&mut asked, &mut asks).await;
        let _ended = asks.shutdown().await;
    };
    tokio::join!(there, carry_back(answered, answers, held, way_back));
}

async fn carry_back(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
    way_back: WayBack,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        way_back.answers.fetch_add(1, Ordering::Relaxed);
        let takes = Duration::from_micros(way_back.takes_us.load(Ordering::Relaxed));
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let is_let_go = held.wait_for(|held| !held).await.is_ok();
        if !is_let_go || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ended = to.shutdown().await;
}
