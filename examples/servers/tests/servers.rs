//! The servers among the examples answer real clients, one and many.

#[path = "support/server.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use server::{PATIENCE, Server};

const CLIENTS: usize = 20;

/// Runs `client` on so many threads at the same time.
fn at_once(client: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                scope.spawn({
                    let client = &client;
                    move || client(i)
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("a client failed"));
    });
}

#[test]
fn echo_sends_back_what_it_gets() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_echo"), &[]);
    at_once(|number| {
        let mut stream = server.connect().unwrap();
        for round in 0..10 {
            let sent = format!("client {number}, round {round}");
            stream.write_all(sent.as_bytes()).unwrap();
            let mut received = vec![0; sent.len()];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(String::from_utf8(received).unwrap(), sent);
        }
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server ends the connection as well");
    });
    server.assert_runs();
}

/// A guest of the chat.
struct Guest {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Guest {
    fn enter(server: &Server, name: &str) -> Guest {
        let writer = server.connect().unwrap();
        let reader = BufReader::new(writer.try_clone().unwrap());
        let mut guest = Guest { writer, reader };
        guest.say(name);
        assert_eq!(guest.hear(), format!("welcome, {name}"));
        guest
    }

    fn say(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn in_the_chat_all_hear_what_the_others_say() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_chat"), &[]);
    let mut ann = Guest::enter(&server, "Ann");
    let mut bob = Guest::enter(&server, "Bob");
    assert_eq!(ann.hear(), "Bob comes");
    let mut eve = Guest::enter(&server, "Eve");
    assert_eq!(ann.hear(), "Eve comes");
    assert_eq!(bob.hear(), "Eve comes");

    ann.say("hello");
    assert_eq!(bob.hear(), "Ann: hello");
    assert_eq!(eve.hear(), "Ann: hello");
    bob.say("hello, Ann");
    assert_eq!(ann.hear(), "Bob: hello, Ann", "one does not hear oneself");
    assert_eq!(eve.hear(), "Bob: hello, Ann");
    drop(bob);
    assert_eq!(ann.hear(), "Bob goes");
    assert_eq!(eve.hear(), "Bob goes");
    server.assert_runs();
}

#[test]
fn in_the_chat_twenty_hear_each_line_once() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_chat"), &[]);
    let mut guests: Vec<Guest> = Vec::new();
    for number in 0..CLIENTS {
        guests.push(Guest::enter(&server, &number.to_string()));
        for guest in &mut guests[..number] {
            assert_eq!(guest.hear(), format!("{number} comes"));
        }
    }
    for guest in &mut guests {
        guest.say("here");
    }
    for (number, guest) in guests.iter_mut().enumerate() {
        let mut heard: Vec<_> = (1..CLIENTS).map(|_| guest.hear()).collect();
        let mut expected: Vec<_> = (0..CLIENTS).map(|i| format!("{i}: here")).collect();
        expected.remove(number);
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
    }
    server.assert_runs();
}

/// A client that answers like one, even if the answer is no success.
fn client() -> ureq::Agent {
    let settings =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
    settings.build().into()
}

#[test]
fn http_answers() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_http"), &[]);
    let client = client();
    let mut answer = client.get(format!("{}/hello/world", server.url)).call().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "hello, world\n");

    let mut answer = client.get(format!("{}/elsewhere", server.url)).call().unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "there is nothing here\n");

    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut answer = client.post(format!("{}/echo", server.url)).send(&sent[..]).unwrap();
    let received = answer.body_mut().read_to_vec().unwrap();
    assert!(received == sent, "{} bytes came back", received.len());
    server.assert_runs();
}

#[test]
fn http_answers_many_at_once() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_http"), &[]);
    at_once(|number| {
        // Each on a connection of its own, which it keeps.
        let client = client();
        for round in 0..10 {
            let url = format!("{}/hello/{number}-{round}", server.url);
            let text = client.get(url).call().unwrap().body_mut().read_to_string().unwrap();
            assert_eq!(text, format!("hello, {number}-{round}\n"));
        }
    });
    server.assert_runs();
}

#[test]
fn http_survives_what_is_no_request() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_http"), &[]);
    let mut stream = server.connect().unwrap();
    stream.write_all(b"this is not HTTP\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");

    let url = format!("{}/hello/you", server.url);
    let text = client().get(url).call().unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(text, "hello, you\n");
    server.assert_runs();
}

#[test]
fn axum_routes_requests() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_http_axum"), &[]);
    let (client, notes) = (client(), format!("{}/notes", server.url));
    let text = |mut answer: ureq::http::Response<ureq::Body>| {
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let add = |body: &str| {
        let request = client.post(&notes).header("content-type", "application/json");
        text(request.send(body).unwrap())
    };
    let get = |url: String| text(client.get(url).call().unwrap());
    assert_eq!(get(notes.clone()), (200, "[]".to_owned()));
    let first = r#"{"id":0,"text":"buy milk"}"#;
    assert_eq!(add(r#"{"text": "buy milk"}"#), (201, first.to_owned()));
    assert_eq!(get(format!("{notes}/0")), (200, first.to_owned()));
    assert_eq!(get(notes.clone()), (200, format!("[{first}]")));
    assert_eq!(get(format!("{notes}/1")).0, 404);
    assert_eq!(add(r#"{"words": "buy milk"}"#).0, 422);
    server.assert_runs();
}

#[test]
fn axum_answers_many_at_once() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_http_axum"), &[]);
    let notes = format!("{}/notes", server.url);
    at_once(|number| {
        let client = client();
        for _ in 0..5 {
            let request = client.post(&notes).header("content-type", "application/json");
            let answer = request.send(format!(r#"{{"text": "{number}"}}"#)).unwrap();
            assert_eq!(answer.status(), 201);
        }
    });
    let last = client().get(format!("{notes}/{}", 5 * CLIENTS - 1)).call().unwrap();
    assert_eq!(last.status(), 200);
    server.assert_runs();
}

/// A server with a certificate, and a maker of clients that trust that one and no other.
fn https() -> (Server, impl Fn() -> ureq::Agent) {
    let file = std::env::temp_dir().join(format!("filch-certificate-{}.pem", std::process::id()));
    let server = Server::start(env!("CARGO_BIN_EXE_https"), &[file.to_str().unwrap()]);
    let pem = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let trusted = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[trusted]))
        .build();
    let settings = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).tls_config(tls);
    let settings = settings.build();
    (server, move || settings.clone().into())
}

#[test]
fn https_answers_those_who_trust_it_one_and_many() {
    let (mut server, trusting) = https();
    at_once(|_| {
        let client = trusting();
        for _ in 0..3 {
            let text = client.get(&server.url).call().unwrap().body_mut().read_to_string().unwrap();
            assert_eq!(text, "nobody else has read this\n");
        }
    });
    // A client that does not trust it is the one that ends the handshake; and one that speaks no TLS is sent away.
    let error = client().get(&server.url).call().unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let mut stream = server.connect().unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let text = trusting().get(&server.url).call().unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(text, "nobody else has read this\n");
    server.assert_runs();
}

/// Begins a request whose body is still to come, and knows that the server's handler reads it.
#[cfg(unix)]
fn begin_request(server: &Server) -> BufReader<TcpStream> {
    let mut stream = server.connect().unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    reader
}

#[cfg(unix)]
#[test]
fn graceful_answers_what_is_in_flight_and_takes_nothing_new() {
    let mut server = Server::start_alone(env!("CARGO_BIN_EXE_graceful"), &["20"]);
    // A connection that is kept for a next request.
    let mut idle = server.connect().unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut requests: Vec<_> = (0..CLIENTS).map(|_| begin_request(&server)).collect();

    server.terminate();
    assert_eq!(server.line(), "stopping: requests in flight have 20 s");
    let error = server.connect().expect_err("nobody listens any more");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut rest = String::new();
    idle.read_to_string(&mut rest).unwrap();
    assert!(
        rest.ends_with("0 bytes\n"),
        "the end of the first answer, and of the connection: {rest}"
    );
    server.assert_runs();

    for request in &mut requests {
        request.get_mut().write_all(b"0123456789").unwrap();
    }
    for request in &mut requests {
        let mut answer = String::new();
        request.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n10 bytes\n"), "{answer}");
    }
    assert_eq!(server.line(), "stopped");
    assert_eq!(server.wait().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn graceful_waits_no_longer_than_its_grace() {
    let mut server = Server::start(env!("CARGO_BIN_EXE_graceful"), &["0.05"]);
    let mut request = begin_request(&server);
    server.terminate();
    assert_eq!(server.line(), "stopping: requests in flight have 0.05 s");
    assert_eq!(server.line(), "stopped: 1 connections had to be cut");
    assert_eq!(server.wait().code(), Some(1));
    let mut answer = String::new();
    // The end of the connection, by whatever name.
    let _ = request.read_to_string(&mut answer);
    assert!(!answer.contains("200"), "{answer}");
}
