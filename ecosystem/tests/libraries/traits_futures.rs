//! A file that knows the traits of futures-io: they do not get into the way of a stream's own methods, nor of tokio's traits.

use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use crate::{connected, run};

#[test]
fn the_methods_of_futures_and_of_the_stream_are_called_by_the_same_names() {
    run(async {
        let (mut one, mut other) = connected().await;
        // The stream's own.
        one.write_all(b"inherent").await.unwrap();
        let mut text = [0; 8];
        other.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"inherent");
        // The traits'.
        AsyncWriteExt::write_all(&mut one, b"trait").await.unwrap();
        one.flush().await.unwrap();
        one.close().await.unwrap();
        let mut rest = String::new();
        other.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "trait");
        // The other direction is still open.
        AsyncWriteExt::write_all(&mut other, b"back").await.unwrap();
        drop(other);
        let mut rest = Vec::new();
        one.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"back");
    });
}

#[test]
fn split_by_futures_both_halves_work_at_the_same_time() {
    run(async {
        let (one, other) = connected().await;
        let (mut reader, mut writer) = one.split();
        let echo = filch::spawn(async move {
            let (reader, mut writer) = other.split();
            futures_util::io::copy(reader, &mut writer).await.unwrap();
            writer.close().await.unwrap();
        });
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let sender = filch::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == expected, "{} bytes came back", received.len());
        sender.await.unwrap();
        echo.await.unwrap();
    });
}
