//! tokio-util's codecs, over tokio's traits.

use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};

use crate::{connected, run};

#[test]
fn lines_and_frames_of_tokio_util() {
    run(async {
        let (one, other) = connected().await;
        let (mut one, mut other) =
            (Framed::new(one, LinesCodec::new()), Framed::new(other, LinesCodec::new()));
        one.send("a line").await.unwrap();
        one.send("another").await.unwrap();
        assert_eq!(other.next().await.unwrap().unwrap(), "a line");
        assert_eq!(other.next().await.unwrap().unwrap(), "another");

        let mut one = one.map_codec(|_| LengthDelimitedCodec::new());
        let mut other = other.map_codec(|_| LengthDelimitedCodec::new());
        let large = Bytes::from(vec![7; 300_000]);
        let sender = filch::spawn({
            let large = large.clone();
            async move { other.send(large).await.map(|()| other) }
        });
        assert!(one.next().await.unwrap().unwrap() == large);
        drop(sender.await.unwrap().unwrap());
        assert!(one.next().await.is_none());
    });
}
