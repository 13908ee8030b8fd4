//! The model: what is known of each connection, which operations must end now, and whether one may have ended so.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::ends::{Ends, Listening};
use super::operations::{Ended, Operation, Said, bytes};

/// So much goes into the system although nobody reads, for either kind of streams.
const ROOM: u64 = 16 << 10;

/// One direction: what one side writes and the other one reads.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) sent: u64,
    pub(super) got: u64,
    /// No more will be written.
    pub(super) ended: bool,
}

/// Where a side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the listener's queue.
    Queued,
    Open,
    Closed,
}

pub(super) struct Side {
    pub(super) ends: Option<Box<dyn Ends>>,
    pub(super) stage: Stage,
    /// The runtime that watches over it.
    pub(super) home: usize,
    pub(super) reading: Option<Operation>,
    pub(super) writing: Option<Operation>,
    /// The other side is gone, and the system may say so instead of what was still to be read.
    pub(super) broken: bool,
}

impl Side {
    pub(super) fn new(ends: Option<Box<dyn Ends>>, home: usize) -> Side {
        let stage = if ends.is_some() { Stage::Open } else { Stage::Queued };
        Side { ends, stage, home, reading: None, writing: None, broken: false }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.reading.is_none() && self.writing.is_none()
    }
}

pub(super) struct Connection {
    /// Where a TCP client comes from.
    pub(super) name: Option<SocketAddr>,
    pub(super) sides: [Side; 2],
    /// What each side writes.
    pub(super) ways: [Way; 2],
}

pub(super) struct Listener {
    pub(super) socket: Arc<Listening>,
    pub(super) home: usize,
    /// Connections that nobody has accepted.
    pub(super) queue: VecDeque<usize>,
    pub(super) accepting: Option<Operation>,
}

/// Which runtimes have ended.
pub(super) type Over = [bool; 2];

/// Whoever was asked, or whose runtime has ended, ends.
fn is_told(operation: &Operation, home: usize, over: Over) -> bool {
    operation.asked || over[operation.on] || over[home]
}

impl Listener {
    pub(super) fn must_accept(&self, over: Over) -> bool {
        let told = |operation| is_told(operation, self.home, over) || !self.queue.is_empty();
        self.accepting.as_ref().is_some_and(told)
    }
}

impl Connection {
    /// Two ends, and where the first comes from; the second may still be in a queue.
    pub(super) fn new(name: Option<SocketAddr>, sides: [Side; 2]) -> Connection {
        Connection { name, sides, ways: Default::default() }
    }

    /// The bytes that a side's writer in flight still offers.
    fn offered(&self, side: usize) -> u64 {
        self.sides[side].writing.as_ref().map_or(0, |operation| operation.size as u64)
    }

    /// The bytes that its reader in flight takes, if they come. (Who was told to end may take none.)
    fn wanted(&self, side: usize, over: Over) -> u64 {
        let here = &self.sides[side];
        match &here.reading {
            Some(operation) if is_told(operation, here.home, over) => 0,
            Some(operation) if operation.once => 1,
            Some(operation) => operation.size as u64,
            None => 0,
        }
    }

    pub(super) fn must_write(&self, side: usize, over: Over) -> bool {
        let Some(operation) = &self.sides[side].writing else { return false };
        let (way, other) = (&self.ways[side], &self.sides[1 - side]);
        is_told(operation, self.sides[side].home, over)
            || way.ended
            || other.stage == Stage::Closed
            || way.sent + self.offered(side) <= way.got + self.wanted(1 - side, over) + ROOM
    }

    /// (All writers that must end have done so.)
    pub(super) fn must_read(&self, side: usize, over: Over) -> bool {
        let Some(operation) = &self.sides[side].reading else { return false };
        let way = &self.ways[1 - side];
        is_told(operation, self.sides[side].home, over)
            || self.sides[side].broken
            || way.ended
            || way.got + self.wanted(side, over) <= way.sent + self.offered(1 - side)
    }

    /// A side is dropped; its operations have ended.
    pub(super) fn close(&mut self, side: usize, reset: bool) {
        let unread = {
            let way = &self.ways[1 - side];
            way.sent + self.offered(1 - side) > way.got
        };
        self.ways[side].ended = true;
        self.sides[side].stage = Stage::Closed;
        self.sides[side].ends = None;
        self.sides[1 - side].broken |= unread || reset;
    }

    /// A writer was put into `sides[side].writing`.
    pub(super) fn begins_to_write(&mut self, side: usize) {
        // What nobody will read is answered by a reset.
        self.sides[side].broken |= self.sides[1 - side].stage == Stage::Closed;
    }

    /// A writer has ended. `None`: its task was cut.
    pub(super) fn has_written(
        &mut self,
        side: usize,
        operation: &Operation,
        said: &Said,
        over: Over,
    ) -> Result<(), String> {
        self.ways[side].sent += said.written as u64;
        let here = &self.sides[side];
        match said.ended {
            None if operation.asked || over[operation.on] => Ok(()),
            None => Err("it was cut, and nobody has asked for that".into()),
            Some(Ended::All) if operation.in_vain => Err("it wrote behind the end".into()),
            Some(Ended::All) if said.written != operation.size => {
                Err("it wrote less than all".into())
            }
            Some(Ended::All) => Ok(()),
            Some(Ended::Eof) => Err("a writer has no end of the stream".into()),
            Some(Ended::Failed(_)) if over[here.home] => Ok(()),
            Some(Ended::Failed(kind)) => {
                let gone = self.sides[1 - side].stage == Stage::Closed || self.ways[side].ended;
                may_fail(gone || here.broken, kind)
            }
        }
    }

    /// A reader has ended.
    pub(super) fn has_read(
        &mut self,
        side: usize,
        operation: &Operation,
        said: &Said,
        over: Over,
    ) -> Result<(), String> {
        let (here, home_is_over) = (&self.sides[side], over[self.sides[side].home]);
        let offered = self.ways[1 - side].sent + self.offered(1 - side);
        let way = &mut self.ways[1 - side];
        let mut rest = &said.read[..];
        while !rest.is_empty() {
            let place = way.got + (said.read.len() - rest.len()) as u64;
            let written = bytes(1 - side, place);
            let (piece, behind) = rest.split_at(rest.len().min(written.len()));
            if *piece != written[..piece.len()] {
                let differs = |at: &usize| piece[*at] != written[*at];
                let at = (0..piece.len()).find(differs).expect("they differ");
                let (place, read, written) = (place + at as u64, piece[at], written[at]);
                return Err(format!("at {place} it has read {read} where {written} was written"));
            }
            rest = behind;
        }
        way.got += said.read.len() as u64;
        if way.got > offered {
            return Err(format!("it has read {} bytes, and {offered} were offered", way.got));
        }
        match said.ended {
            None if operation.asked || over[operation.on] => Ok(()),
            None => Err("it was cut, and nobody has asked for that".into()),
            Some(Ended::All) => Ok(()),
            Some(Ended::Eof) if here.broken => Ok(()),
            Some(Ended::Eof) if !way.ended => Err("it sees an end that nobody has made".into()),
            Some(Ended::Eof) if way.got < way.sent => {
                Err(format!("it sees the end after {} of {} bytes", way.got, way.sent))
            }
            Some(Ended::Eof) => Ok(()),
            Some(Ended::Failed(_)) if home_is_over => Ok(()),
            Some(Ended::Failed(kind)) => may_fail(here.broken, kind),
        }
    }
}

fn may_fail(gone: bool, kind: io::ErrorKind) -> Result<(), String> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match kind {
        BrokenPipe | ConnectionAborted | ConnectionReset if gone => Ok(()),
        _ => Err(format!("it has failed with {kind:?}")),
    }
}
