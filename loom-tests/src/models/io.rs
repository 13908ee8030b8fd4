//! Where sockets and tasks meet: no event is lost, and none reaches somebody it was not meant for.

use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::Arc as Counted;
use loom::thread;

use super::task::Bell;
use crate::io::readiness::{Direction, READ, Readiness, Ready, WRITE};
use crate::io::slab::Slab;
use crate::primitive::{AtomicUsize, Ordering};

/// A socket, and what there is to be read from it.
struct Socket {
    readiness: Readiness,
    generation: u32,
    /// Loom knows nothing of the kernel's locks, so that an event must hand this over.
    bytes: AtomicUsize,
}

impl Socket {
    fn new(assumed: u64) -> Counted<Socket> {
        let readiness = Readiness::new();
        let generation = readiness.begin(assumed);
        Counted::new(Socket { readiness, generation, bytes: AtomicUsize::new(0) })
    }

    /// What the kernel and the driver do.
    fn arrive(&self) {
        self.bytes.fetch_add(1, Ordering::Relaxed);
        self.event(READ);
    }

    fn event(&self, flags: u64) {
        let mut wakers = Vec::new();
        self.readiness.deliver(self.generation, flags, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// As `Registered::poll_io`: a byte is read if there is one.
    fn poll_read(&self, mut key: Option<&mut u64>, waker: &Waker) -> Poll<()> {
        loop {
            let polled = self.readiness.poll(Direction::Read, key.as_deref_mut(), waker);
            let Poll::Ready(ready) = polled else { return Poll::Pending };
            let bytes = self.bytes.load(Ordering::Relaxed);
            if bytes > 0 {
                self.bytes.fetch_sub(1, Ordering::Relaxed);
                return Poll::Ready(());
            }
            self.readiness.clear(ready);
        }
    }

    /// A task that is polled when it is woken, and only then.
    fn read(&self, mut key: Option<&mut u64>) {
        let bell = Bell::new();
        let waker = Waker::from(Arc::clone(&bell));
        while self.poll_read(key.as_deref_mut(), &waker).is_pending() {
            bell.wait();
        }
    }

    fn wait(&self, direction: Direction, key: Option<&mut u64>) -> Ready {
        let (bell, mut key) = (Bell::new(), key);
        let waker = Waker::from(Arc::clone(&bell));
        loop {
            match self.readiness.poll(direction, key.as_deref_mut(), &waker) {
                Poll::Ready(ready) => return ready,
                Poll::Pending => bell.wait(),
            }
        }
    }
}

/// A task begins to wait while the event comes.
pub fn event_poll() {
    let socket = Socket::new(0);
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || socket.arrive())
    };
    socket.read(None);
    driver.join().unwrap();
}

/// An operation finds nothing, and is about to say so when the event comes: twice, so that there is
/// readiness to be taken away.
pub fn event_clear() {
    let socket = Socket::new(READ);
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || {
            socket.arrive();
            socket.arrive();
        })
    };
    socket.read(None);
    socket.read(None);
    driver.join().unwrap();
}

/// A write finds no room and says so, while an event comes for the reader: both are right.
pub fn event_clear_other() {
    let socket = Socket::new(WRITE);
    let writer = {
        let socket = socket.clone();
        thread::spawn(move || {
            let ready = socket.readiness.look(Direction::Write).expect("MODEL: nobody took it");
            socket.readiness.clear(ready);
        })
    };
    socket.arrive();
    writer.join().unwrap();
    assert!(socket.readiness.look(Direction::Read).is_some(), "MODEL: the event was wiped out");
}

/// Two tasks wait for the same: both are woken.
pub fn event_two_waiters() {
    let socket = Socket::new(0);
    let other = {
        let socket = socket.clone();
        thread::spawn(move || {
            let _ = socket.wait(Direction::Read, Some(&mut 0));
        })
    };
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || socket.event(READ))
    };
    let _ = socket.wait(Direction::Read, Some(&mut 0));
    other.join().unwrap();
    driver.join().unwrap();
}

/// One of two waiters is dropped when the event comes. The other is woken, and no waker stays behind.
pub fn event_forget() {
    let socket = Socket::new(0);
    let bell = Bell::new();
    let quitter = {
        let (socket, bell) = (socket.clone(), Arc::clone(&bell));
        thread::spawn(move || {
            let (waker, mut key) = (Waker::from(bell), 0);
            let polled = socket.readiness.poll(Direction::Read, Some(&mut key), &waker);
            if polled.is_pending() {
                socket.readiness.forget(key);
            }
        })
    };
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || socket.event(READ))
    };
    let _ = socket.wait(Direction::Read, Some(&mut 0));
    quitter.join().unwrap();
    driver.join().unwrap();
    // (One that found it ready after all is taken back later, by the wait's drop.)
    socket.readiness.end();
    assert!(Arc::strong_count(&bell) == 1, "MODEL: a waker stayed behind");
}

/// A registration ends and the next one takes its place while an event for the first is delivered.
pub fn event_next_registration() {
    let socket = Socket::new(0);
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || {
            let mut wakers = Vec::new();
            socket.readiness.deliver(socket.generation, READ, &mut wakers);
            assert!(wakers.is_empty(), "MODEL: somebody else was woken");
        })
    };
    socket.readiness.end();
    let generation = socket.readiness.begin(0);
    assert!(generation != socket.generation, "MODEL: they can be told apart");
    let polled = socket.readiness.poll(Direction::Read, None, Waker::noop());
    assert!(polled.is_pending(), "MODEL: not meant for it");
    driver.join().unwrap();
    let ready = socket.readiness.look(Direction::Read);
    assert!(ready.is_none(), "MODEL: not meant for it");
}

/// The driver goes while a task begins to wait.
pub fn shut_poll() {
    let socket = Socket::new(0);
    let driver = {
        let socket = socket.clone();
        thread::spawn(move || {
            let mut wakers = Vec::new();
            socket.readiness.shut(&mut wakers);
            wakers.into_iter().for_each(Waker::wake);
        })
    };
    let ready = socket.wait(Direction::Write, None);
    assert!(ready.is_shut(), "MODEL: it is told why");
    driver.join().unwrap();
}

/// A registration begins while the driver goes: it is refused, or told.
pub fn register_close() {
    let slab = Counted::new(Slab::new());
    let driver = {
        let slab = slab.clone();
        thread::spawn(move || {
            let mut wakers = Vec::new();
            slab.close(|readiness| readiness.shut(&mut wakers));
            wakers.into_iter().for_each(Waker::wake);
        })
    };
    // As `Driver::register`.
    if let Some(index) = slab.take() {
        let readiness = slab.get(index).expect("MODEL: it has its place");
        let _ = readiness.begin(0);
        let bell = Bell::new();
        let waker = Waker::from(Arc::clone(&bell));
        while readiness.poll(Direction::Read, None, &waker).is_pending() {
            bell.wait();
        }
        assert!(readiness.look(Direction::Read).is_some_and(Ready::is_shut), "MODEL: it is told");
    }
    driver.join().unwrap();
}
