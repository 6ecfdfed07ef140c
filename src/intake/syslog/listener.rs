//! The listener: accepts connections within the connection limit, makes the TLS handshake, and lets
//! each run by itself.
//!
//! It takes its verifier and its door from whoever builds it, so that there can be one a console.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    connection::{Connection, Limits},
    messages::Shared,
    refusal::Refusal,
    standing::SyslogStanding,
};
use crate::{
    clock::Clock,
    config::SyslogSettings,
    connections::{ConnectionLimit, Peer},
    intake::{
        Door,
        verification::{ClientCertificate, Sender, SyslogVerifier},
    },
    label::ConsoleLabel,
};

/// Silence after which the system asks whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// Memory for frames longer than a chunk, and how many of the longest must fit.
const LONG_FRAMES_BYTES: usize = 16 << 20;
const LONG_FRAMES_AT_LEAST: usize = 2;
/// Pause after the system could not give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Longest time at shutdown for storing what was read, and then for giving it up.
const STORE_DEADLINE: Duration = Duration::from_secs(10);
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(1);

/// The parts of a listener.
pub struct Parts {
    /// Bound, and not blocking.
    pub listener: std::net::TcpListener,
    /// Proves a message; whoever holds on to it can put another in its place.
    pub verifier: Arc<ArcSwap<SyslogVerifier>>,
    /// The way into the journal.
    pub door: Door,
    /// The time.
    pub clock: Clock,
    /// With it the listener speaks TLS and nothing else.
    pub tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
}

/// A listener that runs.
pub struct Listener {
    standing: Arc<SyslogStanding>,
    connections: TaskTracker,
    stop: CancellationToken,
    /// No more time to store what was read. The door itself is with the connections alone, so that it
    /// is closed when the last of them has ended.
    give_up: CancellationToken,
}

impl Listener {
    /// Accepts from now on.
    ///
    /// # Errors
    /// Fails when the system does not let us use the socket.
    pub fn open(parts: Parts, settings: &SyslogSettings) -> io::Result<Self> {
        let address = parts.listener.local_addr()?;
        let listener = TcpListener::from_std(parts.listener)?;
        let transport = if parts.tls.is_some() { "TLS" } else { "TCP" };
        let standing = Arc::new(SyslogStanding::new(address, transport));
        let console = parts.door.console().clone();
        let limit = ConnectionLimit::new(
            "syslog",
            settings.max_connections,
            settings.max_connections_per_address,
            parts.clock.clone(),
        );
        let shared =
            Arc::new(Shared::new(parts.verifier, parts.door, parts.clock, Arc::clone(&standing)));
        let long_frames = (LONG_FRAMES_BYTES / settings.max_frame_bytes).max(LONG_FRAMES_AT_LEAST);
        let certificate =
            match settings.tls.as_ref().and_then(|tls| tls.client_authorities.as_ref()) {
                Some(_) => ClientCertificate::Checked,
                None => ClientCertificate::None,
            };
        let accepting = Accepting {
            listener,
            limit,
            limits: Limits {
                max_frame_bytes: settings.max_frame_bytes,
                idle_timeout: settings.idle_timeout,
                long_frames: Arc::new(Semaphore::new(long_frames)),
            },
            tls: parts.tls,
            certificate,
            shared: Arc::clone(&shared),
            connections: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let (connections, stop) = (accepting.connections.clone(), accepting.stop.clone());
        connections.spawn(console.on(accepting.run()));
        info!(%address, transport, "listening for syslog");
        Ok(Self { standing, connections, stop, give_up: shared.give_up.clone() })
    }

    /// Returns its standing.
    pub fn standing(&self) -> Arc<SyslogStanding> {
        Arc::clone(&self.standing)
    }

    /// Accepts no more, reads what the sockets hold (`connection`), and waits until what was read whole is
    /// stored.
    pub async fn close(&self) {
        self.stop.cancel();
        self.connections.close();
        let stored = tokio::time::timeout(STORE_DEADLINE, self.connections.wait()).await;
        if stored.is_err() {
            self.give_up.cancel();
            let _ended = tokio::time::timeout(GIVE_UP_DEADLINE, self.connections.wait()).await;
        }
        match self.standing.left_bytes() {
            0 => info!("no longer listening for syslog; nothing was left in its sockets"),
            left_bytes => warn!(
                left_bytes,
                "no longer listening for syslog; what was left in its sockets is gone, and the next \
                 sweep finds it"
            ),
        }
    }
}

struct Accepting {
    listener: TcpListener,
    limit: ConnectionLimit,
    limits: Limits,
    tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    certificate: ClientCertificate,
    shared: Arc<Shared>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Accepting {
    async fn run(self) {
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.receive(stream, peer),
                Err(error) => {
                    warn!(%error, "a connection for syslog could not be accepted; trying again");
                    self.stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn receive(&self, stream: TcpStream, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        if let Err(refusal) = self.shared.admit(address) {
            return self.shared.refuse(address, &refusal);
        }
        // A console may be silent for days; one whose machine is gone must not stay for ever.
        let asks = sockopt::set_socket_keepalive(&stream, true)
            .and_then(|()| sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE));
        if let Err(error) = asks {
            warn!(%error, "the system will not notice when this syslog sender goes away");
        }
        let conversation = self.conversation(stream, address);
        let shared = Arc::clone(&self.shared);
        self.connections.spawn(ConsoleLabel::current().on(async move {
            shared.standing.connected();
            if let Err(refusal) = conversation.await {
                shared.refuse(address, &refusal);
            }
            shared.standing.disconnected();
        }));
    }

    /// Everything that happens on a connection from its admission on. An error is told by the caller.
    fn conversation(
        &self,
        stream: TcpStream,
        address: IpAddr,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let admitted = self.limit.admit(Peer::Direct(address));
        let (tls, stop) = (self.tls.clone(), self.stop.clone());
        let (shared, limits) = (Arc::clone(&self.shared), self.limits.clone());
        let sender = Sender { address, certificate: self.certificate };
        async move {
            let admitted = stop.run_until_cancelled(admitted).await;
            let Some(open) = admitted.transpose()? else { return Ok(()) };
            let Some(tls) = tls else {
                Connection { shared, limits, sender, open, stop }.run(stream).await;
                return Ok(());
            };
            let handshake = open.unless_evicted(open.handshake(tls.load_full(), stream));
            let Some(stream) = stop.run_until_cancelled(handshake).await else { return Ok(()) };
            let stream = stream??;
            Connection { shared, limits, sender, open, stop }.run(stream).await;
            Ok(())
        }
    }
}
