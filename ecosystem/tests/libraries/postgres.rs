//! tokio-postgres over one of our streams, with a server that knows one answer.

use filch::net::TcpStream;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::{connected, run};

/// A message of the protocol: its kind, its length, its content.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], content].concat()
}

/// Reads one message; the first has no kind.
async fn read(stream: &mut TcpStream, has_kind: bool) -> (u8, Vec<u8>) {
    let mut kind = [0];
    if has_kind {
        stream.read_exact(&mut kind).await.unwrap();
    }
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut content = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut content).await.unwrap();
    (kind[0], content)
}

/// Takes whoever comes, answers each query with itself, and ends when asked to.
async fn server(mut stream: TcpStream) {
    let (_, startup) = read(&mut stream, false).await;
    assert_eq!(startup[..4], 196_608_u32.to_be_bytes(), "version 3.0 of the protocol");
    let ready = message(b'Z', b"I");
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await.unwrap();
    loop {
        match read(&mut stream, true).await {
            (b'Q', query) => {
                // One column of text by the name of `q`, one row, and its end.
                let column =
                    [&[0, 1][..], b"q\0", &[0; 6], &25_u32.to_be_bytes(), &[255; 6], &[0; 2]];
                let query = &query[..query.len() - 1];
                let length = u32::try_from(query.len()).unwrap().to_be_bytes();
                let row = [&[0, 1][..], &length, query].concat();
                let answer = [
                    message(b'T', &column.concat()),
                    message(b'D', &row),
                    message(b'C', b"SELECT 1\0"),
                ];
                stream.write_all(&[answer.concat(), ready.clone()].concat()).await.unwrap();
            }
            (b'X', _) => return,
            (kind, _) => panic!("no answer to a message {:?}", char::from(kind)),
        }
    }
}

#[test]
fn tokio_postgres_over_a_stream_of_ours() {
    run(async {
        let (one, other) = connected().await;
        let server = filch::spawn(server(other));
        let (client, connection) =
            Config::new().user("someone").connect_raw(one, NoTls).await.unwrap();
        let connection = filch::spawn(connection);
        // Pipelined: the client sends the next before it has an answer.
        let queries = (0..20).map(|number| {
            let client = &client;
            async move {
                let query = format!("SELECT {number}");
                let messages = client.simple_query(&query).await.unwrap();
                let row = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get("q"),
                    _ => None,
                });
                assert_eq!(row, Some(&*query));
            }
        });
        futures_util::future::join_all(queries).await;
        drop(client);
        connection.await.unwrap().unwrap();
        server.await.unwrap();
    });
}
