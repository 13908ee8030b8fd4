//! A file that knows tokio's traits (feature `tokio-io`): they do not get into the way of a stream's own methods, nor of
//! those of futures-io. No tokio runtime is there.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;

use filch::net::TcpStream;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf, split,
};

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
    one_writes.shutdown().await.unwrap();
    let mut text = String::new();
    other_reads.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "trait");
    // The other direction is still open.
    other_writes.write_all(b"back and forth").await.unwrap();
    other_writes.shutdown().await.unwrap();
    let mut start = [0; 4];
    one_reads.read_exact(&mut start).await.unwrap();
    let mut rest = Vec::new();
    one_reads.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&start, &rest[..]), (b"back", &b" and forth"[..]));
}

/// A stream is both, and can be lent only once: so it is split by the library.
async fn talk_through<S: AsyncRead + AsyncWrite + Unpin>(one: S, other: S) {
    let (mut one, mut other) = (split(one), split(other));
    talk((&mut one.0, &mut one.1), (&mut other.0, &mut other.1)).await;
}

#[test]
fn the_methods_of_tokio_and_of_the_stream_are_called_by_the_same_names() {
    run(async {
        let (mut one, mut other) = connected().await;
        // The stream's own are found first, and mean the same.
        one.write_all(b"inherent").await.unwrap();
        let mut text = [0; 8];
        other.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"inherent");
        one.write_all(b"to the end").await.unwrap();
        one.shutdown().await.unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "to the end");
    });
}

#[test]
fn all_kinds_of_streams_have_the_traits_of_tokio() {
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
fn split_by_tokio_both_halves_work_at_the_same_time() {
    run(async {
        let (one, other) = connected().await;
        let (mut reader, mut writer) = tokio::io::split(one);
        let echo = filch::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(other);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let sender = filch::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == expected, "{} bytes came back", received.len());
        sender.await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn lines_are_read_with_tokios_buffer() {
    run(async {
        let (mut one, other) = connected().await;
        AsyncWriteExt::write_all(&mut one, b"first\nsecond\n").await.unwrap();
        one.shutdown().await.unwrap();
        let mut lines = BufReader::new(other).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("first"));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("second"));
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
}

/// Reads into what of the buffer is unfilled.
async fn read_once(stream: &mut TcpStream, buf: &mut ReadBuf<'_>) {
    std::future::poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut *stream), cx, buf)).await.unwrap();
}

#[test]
fn a_buffer_is_filled_where_it_is_unfilled_initialized_or_not() {
    run(async {
        let (mut one, mut other) = connected().await;

        let mut memory = [b'.'; 8];
        let mut buf = ReadBuf::new(&mut memory);
        buf.put_slice(b"ab");
        one.write_all(b"cd").await.unwrap();
        read_once(&mut other, &mut buf).await;
        assert_eq!(buf.filled(), b"abcd");
        assert_eq!(memory, *b"abcd....");

        let mut memory = [MaybeUninit::uninit(); 8];
        let mut buf = ReadBuf::uninit(&mut memory);
        buf.put_slice(b"ab");
        one.write_all(b"cdefghij").await.unwrap();
        read_once(&mut other, &mut buf).await;
        assert_eq!(buf.filled(), b"abcdefgh", "as much as there is place for");
        assert_eq!(buf.remaining(), 0);

        let mut rest = [0; 2];
        other.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"ij");
    });
}

#[test]
fn several_buffers_are_written_at_once() {
    run(async {
        let (mut one, mut other) = connected().await;
        assert!(tokio::io::AsyncWrite::is_write_vectored(&one));
        let bufs = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(AsyncWriteExt::write_vectored(&mut one, &bufs).await.unwrap(), 7);
        one.shutdown().await.unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two");
    });
}
