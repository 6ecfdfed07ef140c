//! Sockets that are listened at.

use std::net::{SocketAddr, TcpListener};

use super::ServiceError;

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Binds the address that `variable` sets, and returns the one that is bound.
pub(super) fn bind(
    variable: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let listener = TcpListener::bind(address).map_err(not_listening(variable, address))?;
    // The library asks for 128, which a flood fills before the next connection is accepted.
    rustix::net::listen(&listener, BACKLOG)
        .map_err(|error| not_listening(variable, address)(error.into()))?;
    let bound = listener.local_addr().map_err(not_listening(variable, address))?;
    Ok((listener, bound))
}

/// Makes the error of a listener at the address that `variable` sets.
pub(super) fn not_listening(
    variable: &'static str,
    address: SocketAddr,
) -> impl FnOnce(std::io::Error) -> ServiceError {
    move |error| ServiceError::Listen { variable, address, error }
}
