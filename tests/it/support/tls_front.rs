//! TLS in front of a server that speaks plainly, with a certificate that can be changed.

use std::sync::{Arc, Mutex};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// TLS on a free port.
pub(crate) struct TlsFront {
    port: u16,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl TlsFront {
    /// Serves what is at `target` (host and port), with this certificate and key.
    pub(crate) fn before(target: &str, identity: &(String, String)) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        let acceptor = Arc::new(Mutex::new(acceptor(identity)));
        let (current, target) = (Arc::clone(&acceptor), target.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (acceptor, target) = (current.lock().unwrap().clone(), target.clone());
                tokio::spawn(async move {
                    // A client that does not know the authority ends the handshake.
                    let Ok(mut client) = acceptor.accept(stream).await else { return };
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ended = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { port, acceptor }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Shows this certificate to clients that connect from now on.
    pub(crate) fn show(&self, identity: &(String, String)) {
        *self.acceptor.lock().unwrap() = acceptor(identity);
    }
}

fn acceptor((certificate, key): &(String, String)) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
