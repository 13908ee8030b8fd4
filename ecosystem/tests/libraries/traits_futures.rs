//! A file that knows the traits of futures-io: they do not get into the way of a stream's own methods, nor of tokio's traits.

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{connected, run};

/// Nothing but the traits' methods.
async fn talk<R, W>(
    (one_reads, one_writes): (&mut R, &mut W),
    (other_reads, other_writes): (&mut R, &mut W),
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    one_writes.write_all(b"trait").await.unwrap();
    one_writes.flush().await.unwrap();
    one_writes.close().await.unwrap();
    let mut text = String::new();
    other_reads.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "trait");
    // The other direction is still open.
    other_writes.write_all(b"back and forth").await.unwrap();
    other_writes.close().await.unwrap();
    let mut start = [0; 4];
    one_reads.read_exact(&mut start).await.unwrap();
    let mut rest = Vec::new();
    one_reads.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&start, &rest[..]), (b"back", &b" and forth"[..]));
}

/// A stream is both, and can be lent only once: so it is split by the library.
async fn talk_through<S: AsyncRead + AsyncWrite + Unpin>(one: S, other: S) {
    let (mut one, mut other) = (one.split(), other.split());
    talk((&mut one.0, &mut one.1), (&mut other.0, &mut other.1)).await;
}

#[test]
fn the_methods_of_futures_and_of_the_stream_are_called_by_the_same_names() {
    run(async {
        let (mut one, mut other) = connected().await;
        // The stream's own are found first, and mean the same.
        one.write_all(b"inherent").await.unwrap();
        let mut text = [0; 8];
        other.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"inherent");
        one.write_all(b"to the end").await.unwrap();
        one.close().await.unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "to the end");
    });
}

#[test]
fn all_kinds_of_streams_have_the_traits_of_futures() {
    run(async {
        let (one, other) = connected().await;
        talk_through(one, other).await;
        let (one, other) = connected().await;
        let (mut one, mut other) = (one.into_split(), other.into_split());
        talk((&mut one.0, &mut one.1), (&mut other.0, &mut other.1)).await;
        #[cfg(unix)]
        {
            use filch::net::UnixStream;

            let (one, other) = UnixStream::pair().unwrap();
            talk_through(one, other).await;
            let (one, other) = UnixStream::pair().unwrap();
            let (mut one, mut other) = (one.into_split(), other.into_split());
            talk((&mut one.0, &mut one.1), (&mut other.0, &mut other.1)).await;
        }
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
