//! Unix sockets: streams and datagrams inside one machine, at addresses that are files (or, on Linux, names
//! without a file).
//!
//! **The file is its user's matter.** Binding makes it, and fails if there is one. Nothing ever removes it: not
//! dropping the socket, not the end of the process. A server removes an old one before it binds, and its own
//! when it ends.

mod datagram;
mod listener;
mod stream;

pub use self::datagram::UnixDatagram;
pub use self::listener::{UnixIncoming, UnixListener};
pub use self::stream::{UCred, UnixStream};

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// The system's errors do not say which file they are about. `what`: "listen at".
fn failed(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}

/// An address, for people.
fn shown(address: io::Result<SocketAddr>) -> String {
    match address {
        Ok(address) => match address.as_pathname() {
            Some(path) => path.display().to_string(),
            None => format!("{address:?}"),
        },
        Err(_) => String::from("an unknown address"),
    }
}
