//! From names to addresses.

mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use filch::net::{TcpListener, TcpStream, ToAddrs, UdpSocket, lookup};

use support::sockets::{everywhere, limited};

#[test]
fn all_kinds_of_addresses() {
    async fn found(name: impl ToAddrs) -> Vec<String> {
        lookup(name).await.unwrap().iter().map(SocketAddr::to_string).collect()
    }
    everywhere(|| async {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        assert_eq!(found(v4).await, ["127.0.0.1:80"]);
        assert_eq!(found(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80)).await, ["127.0.0.1:80"]);
        assert_eq!(found(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 0)).await, ["[::1]:80"]);
        assert_eq!(found((IpAddr::V4(Ipv4Addr::LOCALHOST), 80)).await, ["127.0.0.1:80"]);
        assert_eq!(found((Ipv4Addr::LOCALHOST, 80)).await, ["127.0.0.1:80"]);
        assert_eq!(found((Ipv6Addr::LOCALHOST, 80)).await, ["[::1]:80"]);
        assert_eq!(found("[::1]:80").await, ["[::1]:80"]);
        assert_eq!(found("127.0.0.1:80").await, ["127.0.0.1:80"]);
        assert_eq!(found(String::from("127.0.0.1:80")).await, ["127.0.0.1:80"]);
        assert_eq!(found(&&"127.0.0.1:80").await, ["127.0.0.1:80"]);
        assert_eq!(found(("::1", 80)).await, ["[::1]:80"]);
        assert_eq!(found((String::from("127.0.0.1"), 80)).await, ["127.0.0.1:80"]);
        assert_eq!(found([v4, v4]).await, ["127.0.0.1:80"; 2]);
        assert_eq!(found(&[v4, v4][..]).await, ["127.0.0.1:80"; 2]);
        assert_eq!(found(vec![v4]).await, ["127.0.0.1:80"]);
        Ok(())
    });
}

#[test]
fn names_are_looked_up() {
    everywhere(|| async {
        for found in [lookup("localhost:80").await?, lookup(("localhost", 80)).await?] {
            assert!(!found.is_empty());
            assert!(found.iter().all(|found| found.ip().is_loopback() && found.port() == 80));
        }
        let listener = TcpListener::bind("localhost:0").await?;
        let port = listener.local_addr()?.port();
        let client = TcpStream::connect(("localhost", port)).await?;
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        Ok(())
    });
}

#[test]
fn a_name_that_cannot_be_found_is_named() {
    everywhere(|| async {
        // No name can have a space: no server is asked.
        let name = "no such host:80";
        let errors = [
            lookup(name).await.unwrap_err(),
            lookup(("no such host", 80)).await.unwrap_err(),
            TcpStream::connect(name).await.unwrap_err(),
            TcpListener::bind(name).await.unwrap_err(),
            UdpSocket::bind(name).await.unwrap_err(),
            UdpSocket::bind("127.0.0.1:0").await?.send_to(b"x", name).await.unwrap_err(),
            UdpSocket::bind("127.0.0.1:0").await?.connect(name).await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("\"no such host"), "{error}");
        }
        for name in ["localhost", "localhost:http", "localhost:65536", ""] {
            let error = lookup(name).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}: {error}");
            assert!(error.to_string().contains("name:port"), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_name_is_not_looked_up_outside_a_runtime_but_an_address_is() {
    limited("outside", || {
        let found = futures_lite::future::block_on(lookup("127.0.0.1:80"))?;
        assert_eq!(found.len(), 1);
        let error = futures_lite::future::block_on(lookup("localhost:80")).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
        Ok(())
    });
}
