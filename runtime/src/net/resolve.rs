//! From names to addresses.
//!
//! The system's resolver blocks, so names are looked up by the pool for blocking calls; what is an
//! address already costs nothing.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::panic::Location;
use std::pin::Pin;

use super::attempts::Attempts;
use crate::blocking::spawn_blocking;
use crate::context;
use crate::io::outside;
use crate::task::cell::Waits;
use crate::task::polling;

/// What [`ToAddrs`] says: addresses, or a question to the resolver.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addrs {
    One(SocketAddr),
    Known(Vec<SocketAddr>),
    Name(String, Option<u16>),
}

/// What can be bound or connected to: addresses, or a name with a port.
///
/// Implemented for [`SocketAddr`], `(IpAddr, u16)`, slices of addresses, and for names: `"localhost:80"`,
/// `("localhost", 80)`. Names are looked up on a thread for blocking calls.
#[doc(alias = "ToSocketAddrs")]
#[doc(alias = "getaddrinfo")]
pub trait ToAddrs {
    #[doc(hidden)]
    fn to_addrs(&self) -> Addrs;
}

/// Looks a name up: all its addresses, in the order in which the system's resolver gives them (there may be
/// duplicates; several are tried in this order by those who connect). What is an address already is not looked up.
///
/// The resolver blocks, so it is called on a thread for blocking calls; suspends until it answers, which may
/// take many seconds: use [`timeout`](crate::timeout).
///
/// # Errors
///
/// The resolver's, with the name. `InvalidInput` for a name without a port. Outside a runtime, an error that says so.
///
/// # Cancel safety
///
/// Dropping the future forgets the question; the thread that asks it goes on until it has the answer.
///
/// ```
/// let addresses = filch::run(filch::net::lookup("localhost:80")).unwrap();
/// assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// ```
#[doc(alias = "getaddrinfo")]
#[doc(alias = "lookup_host")]
#[track_caller]
pub fn lookup(name: impl ToAddrs) -> impl Future<Output = io::Result<Vec<SocketAddr>>> {
    look_up_at(name.to_addrs(), Location::caller())
}

/// [`lookup`]; `site`: where a task that waits for it is said to wait.
pub(super) async fn look_up_at(
    addrs: Addrs,
    site: &'static Location<'static>,
) -> io::Result<Vec<SocketAddr>> {
    let (name, port) = match addrs {
        Addrs::One(address) => return Ok(vec![address]),
        Addrs::Known(known) => return Ok(known),
        Addrs::Name(name, port) => (name, port),
    };
    if context::with(|_| ()).is_none() {
        return Err(outside());
    }
    let mut found = spawn_blocking(move || -> io::Result<Vec<SocketAddr>> {
        let found = match port {
            Some(port) => (name.as_str(), port).to_socket_addrs(),
            None => name.to_socket_addrs(),
        };
        match found {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(unknown(&name, &error)),
        }
    });
    let answer = poll_fn(|cx| {
        let polled = Pin::new(&mut found).poll(cx);
        if polled.is_pending() {
            polling::waits_rather(Waits::at(site));
        }
        polled
    });
    answer.await?
}

/// The first of the addresses.
pub(super) async fn first_at(
    addrs: Addrs,
    site: &'static Location<'static>,
    what: &'static str,
) -> io::Result<SocketAddr> {
    // Without a list for the most frequent kind.
    if let Addrs::One(address) = addrs {
        return Ok(address);
    }
    let found = look_up_at(addrs, site).await?.into_iter().next();
    found.ok_or_else(|| Attempts::to(what).into_error())
}

/// The system's errors do not say which name they are about.
fn unknown(name: &str, error: &io::Error) -> io::Error {
    let advice = if error.kind() == io::ErrorKind::InvalidInput {
        " (an address is \"name:port\" or (\"name\", port))"
    } else {
        ""
    };
    io::Error::new(error.kind(), format!("cannot find the address of {name:?}: {error}{advice}"))
}

impl ToAddrs for str {
    fn to_addrs(&self) -> Addrs {
        match self.parse() {
            Ok(address) => Addrs::One(address),
            Err(_) => Addrs::Name(self.to_owned(), None),
        }
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> Addrs {
        self.as_str().to_addrs()
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> Addrs {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Addrs::One((ip, self.1).into()),
            Err(_) => Addrs::Name(self.0.to_owned(), Some(self.1)),
        }
    }
}

impl ToAddrs for (String, u16) {
    fn to_addrs(&self) -> Addrs {
        (self.0.as_str(), self.1).to_addrs()
    }
}

impl ToAddrs for [SocketAddr] {
    fn to_addrs(&self) -> Addrs {
        Addrs::Known(self.to_vec())
    }
}

impl<const N: usize> ToAddrs for [SocketAddr; N] {
    fn to_addrs(&self) -> Addrs {
        Addrs::Known(self.to_vec())
    }
}

impl ToAddrs for Vec<SocketAddr> {
    fn to_addrs(&self) -> Addrs {
        Addrs::Known(self.clone())
    }
}

macro_rules! known {
    ($($type:ty),*) => {$(
        impl ToAddrs for $type {
            fn to_addrs(&self) -> Addrs {
                Addrs::One(SocketAddr::from(*self))
            }
        }
    )*};
}
known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> Addrs {
        (**self).to_addrs()
    }
}
