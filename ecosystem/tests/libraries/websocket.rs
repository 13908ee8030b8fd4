//! WebSockets with async-tungstenite.

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{accept_async, client_async};
use futures_util::StreamExt;

use crate::{connected, run};

#[test]
fn async_tungstenite_on_both_sides() {
    run(async {
        let (one, other) = connected().await;
        let server = filch::spawn(async move {
            let mut socket = accept_async(one).await.unwrap();
            while let Some(message) = socket.next().await {
                match message.unwrap() {
                    Message::Close(_) => break,
                    message => socket.send(message).await.unwrap(),
                }
            }
        });
        let (socket, _) = client_async("ws://test/", other).await.unwrap();
        let (mut sender, mut receiver) = socket.split();
        let sent: Vec<_> = (0..100)
            .map(|number| Message::binary(vec![number; usize::from(number) * 100]))
            .collect();
        let expected = sent.clone();
        let writer = filch::spawn(async move {
            for message in sent {
                sender.send(message).await.unwrap();
            }
            sender
        });
        for message in expected {
            assert_eq!(receiver.next().await.unwrap().unwrap(), message);
        }
        writer.await.unwrap().close(None).await.unwrap();
        while let Some(Ok(_)) = receiver.next().await {}
        server.await.unwrap();
    });
}
