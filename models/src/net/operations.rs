//! What a program begins and does not wait for: tasks that read, write and accept, and say what they have seen so far.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use filch::{JoinHandle, Runtime, timeout};

use super::ends::{Ends, Listening, Reads, Writes};

/// How an operation has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    All,
    /// Of the stream.
    Eof,
    Failed(io::ErrorKind),
}

/// Kept up to date after each call that has succeeded: a cancelled operation has said all that it did.
#[derive(Default)]
pub(super) struct Said {
    pub(super) read: Vec<u8>,
    pub(super) written: usize,
    pub(super) accepted: Option<(Box<dyn Ends>, Option<SocketAddr>)>,
    pub(super) ended: Option<Ended>,
}

pub(super) struct Operation {
    pub(super) task: JoinHandle<()>,
    pub(super) said: Arc<Mutex<Said>>,
    /// How many bytes it is for.
    pub(super) size: usize,
    /// It reads what comes at once.
    pub(super) once: bool,
    /// In which runtime it runs.
    pub(super) on: usize,
    /// Its task was asked to end.
    pub(super) asked: bool,
    /// The direction was ended before it began.
    pub(super) in_vain: bool,
}

/// The length of what is written, over and over.
const PERIOD: u64 = 65_521;

/// The bytes from a place on in one direction of a connection; as many as there are in one piece.
pub(super) fn bytes(way: usize, place: u64) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let hash = |place: u64| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as u8;
        (0..PERIOD).map(hash).collect()
    });
    &bytes[((place + 12_345 * way as u64) % PERIOD) as usize..]
}

/// No more in one call.
const PIECE: usize = 64 << 10;
/// How often a wait is given up and begun again.
const IMPATIENCE: u32 = 4;
const INSTANT: Duration = Duration::from_micros(100);

/// One call, in one of the ways there are.
async fn read_some(end: &dyn Reads, buf: &mut [u8], way: u8) -> io::Result<usize> {
    match way & 3 {
        0 | 1 => poll_fn(|cx| end.poll_read(cx, buf)).await,
        2 => loop {
            end.readable().await?;
            match end.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        },
        _ => {
            for _ in 0..IMPATIENCE {
                if let Ok(read) = timeout(INSTANT, poll_fn(|cx| end.poll_read(cx, buf))).await {
                    return read;
                }
            }
            poll_fn(|cx| end.poll_read(cx, buf)).await
        }
    }
}

async fn write_some(end: &dyn Writes, buf: &[u8], way: u8) -> io::Result<usize> {
    match way & 3 {
        0 | 1 => poll_fn(|cx| end.poll_write(cx, buf)).await,
        2 => loop {
            end.writable().await?;
            match end.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        },
        _ => {
            for _ in 0..IMPATIENCE {
                if let Ok(written) = timeout(INSTANT, poll_fn(|cx| end.poll_write(cx, buf))).await {
                    return written;
                }
            }
            poll_fn(|cx| end.poll_write(cx, buf)).await
        }
    }
}

/// Starts one in a runtime, by its number.
pub(super) struct Starts<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) on: usize,
    pub(super) way: u8,
}

impl Starts<'_> {
    fn operation(&self, size: usize, task: JoinHandle<()>, said: Arc<Mutex<Said>>) -> Operation {
        let once = size > 0 && self.way & 4 != 0;
        Operation { task, said, size, once, on: self.on, asked: false, in_vain: false }
    }

    pub(super) fn read(&self, end: Arc<dyn Reads>, size: usize) -> Operation {
        let (said, way, once) = (Arc::<Mutex<Said>>::default(), self.way, self.way & 4 != 0);
        let tells = Arc::clone(&said);
        let task = self.runtime.spawn(async move {
            let mut buf = vec![0; size.min(PIECE)];
            let mut left = size;
            let ended = loop {
                let room = left.min(PIECE);
                match read_some(&*end, &mut buf[..room], way).await {
                    Ok(0) => break Ended::Eof,
                    Ok(read) => {
                        tells.lock().unwrap().read.extend_from_slice(&buf[..read]);
                        left -= read;
                    }
                    Err(error) => break Ended::Failed(error.kind()),
                }
                if left == 0 || once {
                    break Ended::All;
                }
            };
            tells.lock().unwrap().ended = Some(ended);
        });
        self.operation(size, task, said)
    }

    /// `from`: how many bytes went this way before.
    pub(super) fn write(
        &self,
        end: Arc<dyn Writes>,
        size: usize,
        which: usize,
        from: u64,
    ) -> Operation {
        let (said, way) = (Arc::<Mutex<Said>>::default(), self.way);
        let tells = Arc::clone(&said);
        let task = self.runtime.spawn(async move {
            let mut left = size;
            let ended = loop {
                let piece = bytes(which, from + (size - left) as u64);
                match write_some(&*end, &piece[..left.min(piece.len())], way).await {
                    Ok(0) => break Ended::Failed(io::ErrorKind::WriteZero),
                    Ok(written) => {
                        tells.lock().unwrap().written += written;
                        left -= written;
                    }
                    Err(error) => break Ended::Failed(error.kind()),
                }
                if left == 0 {
                    break Ended::All;
                }
            };
            tells.lock().unwrap().ended = Some(ended);
        });
        self.operation(size, task, said)
    }

    pub(super) fn accept(&self, listening: Arc<Listening>) -> Operation {
        let said = Arc::<Mutex<Said>>::default();
        let tells = Arc::clone(&said);
        let task = self.runtime.spawn(async move {
            let result = listening.accept().await;
            let mut said = tells.lock().unwrap();
            said.ended = Some(match result {
                Ok(accepted) => {
                    said.accepted = Some(accepted);
                    Ended::All
                }
                Err(error) => Ended::Failed(error.kind()),
            });
        });
        self.operation(0, task, said)
    }
}
