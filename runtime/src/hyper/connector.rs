//! The way out for hyper-util's client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};

use crate::net::TcpStream;

/// Connects hyper-util's client (feature `hyper-client`) over TCP: to the host and the port of an `http://` address, port
/// 80 if it names none.
///
/// It refuses `https://`, rather than send in the open what was meant to be secret. For a TLS connector on top of it,
/// `hyper-rustls` for instance, there is [`under_tls`](Connector::under_tls).
///
/// # Errors
///
/// `InvalidInput` for an address without a host or of another scheme; otherwise those of
/// [`TcpStream::connect`].
///
#[cfg_attr(not(doctest), doc = include_str!("../../guide/hyper_client.md"))]
#[doc(alias = "HttpConnector")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector {
    under_tls: bool,
}

impl Connector {
    /// For `http://`.
    pub fn new() -> Connector {
        Connector { under_tls: false }
    }

    /// For what stands on top of it and encrypts: connects to `https://` as well, port 443 if the address names none.
    ///
    /// ```
    /// let plain = filch::hyper::Connector::under_tls();
    /// // hyper_rustls::HttpsConnectorBuilder::new()…wrap_connector(plain)
    /// ```
    pub fn under_tls() -> Connector {
        Connector { under_tls: true }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TcpStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let under_tls = self.under_tls;
        Box::pin(async move {
            let (host, port) = target(&address, under_tls)?;
            let stream = TcpStream::connect((host, port)).await?;
            // A request is written at once; waiting for more of it would only be late.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

fn target(address: &Uri, under_tls: bool) -> io::Result<(&str, u16)> {
    let refused = |why: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("cannot connect to `{address}`: {why}"))
    };
    let usual_port = match address.scheme_str() {
        Some("http") => 80,
        Some("https") if under_tls => 443,
        Some("https") => return Err(refused("https needs TLS on top of `Connector::under_tls`")),
        _ => return Err(refused("it does not begin with `http://`")),
    };
    let host = address.host().ok_or_else(|| refused("it names no host"))?;
    // An IPv6 address stands in brackets there, and only there.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, address.port_u16().unwrap_or(usual_port)))
}

macro_rules! connections {
    ($($type:ty),*) => {$(
        #[cfg_attr(docsrs, doc(cfg(feature = "hyper-client")))]
        impl Connection for $type {
            fn connected(&self) -> Connected {
                Connected::new()
            }
        }
    )*};
}

connections!(TcpStream);
#[cfg(unix)]
connections!(crate::net::UnixStream);

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let target = |text: &str, under_tls| {
            let address = text.parse().unwrap();
            super::target(&address, under_tls).map(|(host, port)| format!("{host} {port}"))
        };
        for under_tls in [false, true] {
            let target = |text| target(text, under_tls);
            assert_eq!(target("http://example.org/path").unwrap(), "example.org 80");
            assert_eq!(target("http://user@127.0.0.1:8080").unwrap(), "127.0.0.1 8080");
            assert_eq!(target("http://[::1]:81/").unwrap(), "::1 81");
            for refused in ["ftp://example.org", "/path", "example.org:80"] {
                let error = target(refused).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert!(error.to_string().contains(refused), "{error}");
            }
        }
        assert_eq!(target("https://example.org", true).unwrap(), "example.org 443");
        assert_eq!(target("https://[::1]:81", true).unwrap(), "::1 81");
        assert!(target("https://example.org", false).is_err());
    }
}
