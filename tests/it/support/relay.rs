//! A wire that can be cut, or held still on the way back: connections go through it to an address.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A relay on a free port of loopback. It ends with the test's runtime.
pub(crate) struct Relay {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
    answers_held: watch::Sender<bool>,
    is_closed: watch::Sender<bool>,
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
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *closed.borrow() {
                    continue;
                }
                let (mut cut, held) = (cut.subscribe(), held.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(near, target, held) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts, answers_held, is_closed }
    }

    /// Where it listens.
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

async fn carry(mut near: TcpStream, target: SocketAddr, held: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let ((mut asked, answers), (answered, mut asks)) = (near.split(), far.split());
    // That either end hangs up is what this is for.
    let there = async {
        let _ended = copy(&mut asked, &mut asks).await;
        let _ended = asks.shutdown().await;
    };
    tokio::join!(there, carry_back(answered, answers, held));
}

async fn carry_back(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let is_let_go = held.wait_for(|held| !held).await.is_ok();
        if !is_let_go || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ended = to.shutdown().await;
}
