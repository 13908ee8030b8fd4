//! A socket for explorations: whoever has its other end is the kernel. (Compiled into the runtime, since it is made of
//! what a socket is made of.)

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::Door;
use super::driver::{self, Driver};
use super::readiness::Direction;
use crate::primitive::{AtomicUsize, Ordering};

#[derive(Debug)]
struct Fake;

impl Source for Fake {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }
}

#[derive(Debug)]
pub struct Wire {
    end: End,
}

/// The other end.
#[derive(Debug, Clone)]
pub struct End {
    driver: Arc<Driver>,
    index: u32,
    generation: u32,
    /// What there is to be read.
    bytes: Arc<AtomicUsize>,
}

impl Wire {
    /// In the runtime of this thread.
    pub fn new() -> io::Result<Wire> {
        let driver = Door::current_driver()?;
        let (index, generation) = driver.register(&mut Fake, Interest::READABLE, 0)?;
        Ok(Wire { end: End { driver, index, generation, bytes: Arc::default() } })
    }

    pub fn other_end(&self) -> End {
        self.end.clone()
    }

    /// A byte is read if there is one.
    pub async fn read(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_read(cx)).await
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readiness = self.end.driver.readiness(self.end.index);
        loop {
            let ready = ready!(readiness.poll(Direction::Read, None, cx.waker()));
            if ready.is_shut() {
                return Poll::Ready(Err(driver::shut_down()));
            }
            if self.end.bytes.load(Ordering::Relaxed) > 0 {
                self.end.bytes.fetch_sub(1, Ordering::Relaxed);
                return Poll::Ready(Ok(()));
            }
            readiness.clear(ready);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end.driver.deregister(&mut Fake, self.end.index);
    }
}

impl End {
    /// Something to read has come.
    pub fn send(&self) {
        self.bytes.fetch_add(1, Ordering::Relaxed);
        self.driver.tell(self.index, self.generation);
    }
}
