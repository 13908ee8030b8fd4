//! Stands in for mio's poller in the loom build.
//!
//! Whoever sleeps in the real one sleeps in the kernel, where loom cannot see it and would wait for it for
//! ever. This one has the same face, as far as the driver uses it, and sleeps on a futex of loom's. Events
//! come from the model, by [`Registry::tell`]. What it keeps of the real one:
//!
//! - An event that came, or a wake, ends the current or else the next wait, and is told once.
//! - A wait returns with whatever there is; without anything only if it was to be a look.
//! - Telling and being told synchronize, as the kernel's own locks do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Token};

use crate::primitive::{Futex, Mutex, Ordering};

#[derive(Debug)]
struct Kernel {
    /// 1: there is something pending.
    news: Futex,
    pending: Mutex<Vec<Event>>,
}

impl Kernel {
    fn tell(&self, event: Event) {
        self.pending.lock().push(event);
        self.news.swap(1, Ordering::Relaxed);
        self.news.wake_one();
    }
}

/// Something can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event(Token);

impl Event {
    pub(crate) fn token(&self) -> Token {
        self.0
    }

    pub(crate) fn is_readable(&self) -> bool {
        true
    }

    pub(crate) fn is_writable(&self) -> bool {
        false
    }

    pub(crate) fn is_read_closed(&self) -> bool {
        false
    }

    pub(crate) fn is_write_closed(&self) -> bool {
        false
    }

    pub(crate) fn is_error(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) struct Events(Vec<Event>);

impl Events {
    pub(crate) fn with_capacity(_: usize) -> Events {
        Events(Vec::new())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[derive(Debug)]
pub(crate) struct Poll(Registry);

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        let kernel = Kernel { news: Futex::new(0), pending: Mutex::new(Vec::new()) };
        Ok(Poll(Registry(Arc::new(kernel))))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0
    }

    pub(crate) fn poll(&mut self, events: &mut Events, limit: Option<Duration>) -> io::Result<()> {
        let kernel = &*self.0.0;
        events.clear();
        loop {
            kernel.news.swap(0, Ordering::Relaxed);
            events.0.append(&mut kernel.pending.lock());
            if !events.0.is_empty() || limit.is_some() {
                return Ok(());
            }
            while kernel.news.load(Ordering::Relaxed) == 0 {
                kernel.news.wait(0);
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Registry(Arc<Kernel>);

impl Registry {
    pub(crate) fn try_clone(&self) -> io::Result<Registry> {
        Ok(Registry(Arc::clone(&self.0)))
    }

    pub(crate) fn register(&self, _: &mut impl Source, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn deregister(&self, _: &mut impl Source) -> io::Result<()> {
        Ok(())
    }

    /// The source of this token can be read.
    pub(crate) fn tell(&self, token: Token) {
        self.0.tell(Event(token));
    }
}

#[derive(Debug)]
pub(crate) struct Alarm(Arc<Kernel>, Token);

impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        Ok(Alarm(Arc::clone(&registry.0), token))
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.tell(Event(self.1));
        Ok(())
    }
}
