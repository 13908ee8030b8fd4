//! Goes through a program, step by step, and keeps the model up to date.

use std::collections::VecDeque;
use std::fmt::Write;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use filch::net::{TcpListener, UnixListener, UnixStream};
use filch::{JoinHandle, Runtime};

use super::check::{Connection, Listener, Over, Side, Stage};
use super::ends::{Listening, whole};
use super::operations::{Operation, Said, Starts};
use super::program::{End, Program, Step, What};
use super::{CONNECTIONS, LISTENERS};
use crate::Verdict;

/// What must end and has not after so long hangs.
const HANG: Duration = Duration::from_secs(20);

/// Why a program goes no further.
enum Stop {
    Wrong(String),
    /// The system is short of something: nothing is shown.
    GivenUp,
}

type Done<T = ()> = Result<T, Stop>;

impl From<String> for Stop {
    fn from(what: String) -> Stop {
        Stop::Wrong(what)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

struct World {
    runtimes: [Option<Runtime>; 2],
    over: Over,
    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    /// What was done and seen, for people.
    trace: String,
}

pub(super) fn run(program: &Program) -> Verdict {
    let runtime = |workers| {
        // Nobody joins a spare worker's thread, and what is still there when libFuzzer looks counts as a leak.
        let builder = Runtime::builder().worker_threads(workers).spare_workers(0);
        let builder = builder.on_stall(|_| {});
        builder.on_unhandled_failure(|_| {}).build().ok()
    };
    let runtimes = program.workers.map(runtime);
    if runtimes.iter().any(Option::is_none) {
        return Ok(());
    }
    let mut world = World {
        runtimes,
        over: [false; 2],
        listeners: Vec::new(),
        connections: Vec::new(),
        trace: String::new(),
    };
    match world.go_through(program) {
        Ok(()) | Err(Stop::GivenUp) => Ok(()),
        Err(Stop::Wrong(what)) => {
            Err(format!("{what}\n  {:?} workers\n{}", program.workers, world.trace))
        }
    }
}

impl World {
    fn go_through(&mut self, program: &Program) -> Done {
        for step in &program.steps {
            self.step(*step)?;
            if step.settle {
                self.settle()?;
            }
        }
        self.tell(format_args!("the end: {:?}", program.end));
        if let End::Close = program.end {
            self.settle()?;
            self.close_all()?;
            for runtime in self.runtimes.iter().flatten() {
                let sockets = runtime.handle().metrics().sockets;
                if sockets != 0 {
                    return Err(
                        format!("{sockets} sockets are watched over, and all are closed").into()
                    );
                }
            }
        }
        self.end_runtime(1, program.end)?;
        self.end_runtime(0, program.end)?;
        self.settle()?;
        // Nobody is left.
        let begun = self.connections.iter().flat_map(|connection| &connection.sides);
        if !begun.into_iter().all(Side::is_idle) {
            return Err("an operation has outlived its runtime".to_owned().into());
        }
        Ok(())
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "    {what}");
    }

    /// The runtime that was asked for, or the other one.
    fn runtime(&self, on: usize) -> (&Runtime, usize) {
        let on = if self.runtimes[on].is_some() { on } else { 0 };
        (self.runtimes[on].as_ref().expect("the first one is the last to end"), on)
    }

    fn starts(&self, step: Step) -> Starts<'_> {
        let (runtime, on) = self.runtime(step.on);
        Starts { runtime, on, way: step.way }
    }

    /// Runs something that ends soon, in a task; also says where.
    fn call<T: Send + 'static>(
        &self,
        on: usize,
        what: &str,
        call: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> Done<(T, usize)> {
        let (runtime, on) = self.runtime(on);
        let mut task = runtime.spawn(call);
        match task.join_timeout(HANG) {
            None => Err(format!("{what}: it hangs").into()),
            Some(Err(error)) => Err(format!("{what}: {error}").into()),
            Some(Ok(Ok(value))) => Ok((value, on)),
            Some(Ok(Err(error))) if is_shortage(&error) => Err(Stop::GivenUp),
            Some(Ok(Err(error))) => Err(format!("{what}: {error}").into()),
        }
    }

    /// An end that is open.
    fn whom(&self, step: Step) -> Option<(usize, usize)> {
        let all = self.connections.iter().enumerate();
        let open: Vec<_> = all
            .flat_map(|(at, connection)| {
                [0, 1].map(|side| (at, side, connection.sides[side].stage))
            })
            .filter(|(.., stage)| *stage == Stage::Open)
            .collect();
        let (at, side, _) = *open.get(step.whom % open.len().max(1))?;
        Some((at, side))
    }

    fn room(&self) -> bool {
        let is_open = |c: &&Connection| c.sides.iter().any(|side| side.stage != Stage::Closed);
        self.connections.iter().filter(is_open).count() < CONNECTIONS
    }

    fn step(&mut self, step: Step) -> Done {
        match step.what {
            What::BindTcp | What::BindUnix => self.bind(step),
            What::Connect | What::Accept | What::CancelAccept | What::CloseListener => {
                let Some(count) = self.listeners.len().checked_sub(1) else { return Ok(()) };
                self.of_listener(step, step.whom % (count + 1))
            }
            What::Pair => {
                if !self.room() {
                    return Ok(());
                }
                let (pair, home) = self.call(step.on, "a pair", async { UnixStream::pair() })?;
                let sides = [pair.0, pair.1].map(|stream| Side::new(Some(whole(stream)), home));
                self.tell(format_args!("connection {}: a pair", self.connections.len()));
                self.connections.push(Connection::new(None, sides));
                Ok(())
            }
            What::Stop => {
                if self.runtimes[1].is_none() {
                    return Ok(());
                }
                let end = [End::Drop, End::Shutdown, End::Grace][usize::from(step.way % 3)];
                self.tell(format_args!("the second runtime ends: {end:?}"));
                self.end_runtime(1, end)
            }
            What::Nothing => Ok(()),
            _ => match self.whom(step) {
                Some((at, side)) => self.of_end(step, at, side),
                None => Ok(()),
            },
        }
    }

    fn bind(&mut self, step: Step) -> Done {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        if self.listeners.len() == LISTENERS {
            return Ok(());
        }
        let is_tcp = step.what == What::BindTcp;
        let (socket, home) = self.call(step.on, "bind", async move {
            if is_tcp {
                return Ok(Listening::Tcp(TcpListener::bind("127.0.0.1:0").await?));
            }
            let number = NAMES.fetch_add(1, Ordering::Relaxed);
            let path: PathBuf =
                std::env::temp_dir().join(format!("filch-models-{}-{number}", std::process::id()));
            Ok(Listening::Unix(UnixListener::bind(&path)?, path))
        })?;
        self.tell(format_args!("listener {}: {:?}", self.listeners.len(), step.what));
        let (socket, queue) = (Arc::new(socket), VecDeque::new());
        self.listeners.push(Listener { socket, home, queue, accepting: None });
        Ok(())
    }

    fn of_listener(&mut self, step: Step, which: usize) -> Done {
        let listener = &mut self.listeners[which];
        match step.what {
            What::Connect => {
                if !self.room() {
                    return Ok(());
                }
                let socket = Arc::clone(&self.listeners[which].socket);
                let connect = async move { socket.connect().await };
                let ((ends, name), home) = self.call(step.on, "connect", connect)?;
                let number = self.connections.len();
                self.tell(format_args!("connection {number}: to listener {which}"));
                let sides = [Side::new(Some(ends), home), Side::new(None, home)];
                self.connections.push(Connection::new(name, sides));
                self.listeners[which].queue.push_back(number);
            }
            What::Accept if listener.accepting.is_none() => {
                let socket = Arc::clone(&listener.socket);
                let operation = self.starts(step).accept(socket);
                self.tell(format_args!("listener {which}: accept in runtime {}", operation.on));
                self.listeners[which].accepting = Some(operation);
            }
            What::CancelAccept => {
                if let Some(operation) = &mut listener.accepting {
                    operation.asked = true;
                    operation.task.cancel();
                    self.tell(format_args!("listener {which}: cancel"));
                }
            }
            What::CloseListener => self.close_listener(which)?,
            _ => {}
        }
        Ok(())
    }

    fn close_listener(&mut self, which: usize) -> Done {
        if let Some(operation) = &mut self.listeners[which].accepting {
            operation.asked = true;
            operation.task.cancel();
            self.accepted(which)?;
        }
        self.tell(format_args!("listener {which}: closed, the last one takes its number"));
        let listener = self.listeners.swap_remove(which);
        for number in listener.queue {
            // Dropped by the system.
            self.connections[number].close(1, true);
        }
        Arc::into_inner(listener.socket).map(drop).ok_or_else(still_held)?;
        Ok(())
    }

    fn of_end(&mut self, step: Step, at: usize, side: usize) -> Done {
        let connection = &mut self.connections[at];
        let is_met = connection.sides[1 - side].stage != Stage::Queued;
        let (here, way) = (&mut connection.sides[side], &mut connection.ways[side]);
        let (is_idle, name) = (here.is_idle(), format!("connection {at}, side {side}"));
        let ends = here.ends.as_mut().expect("it is open");
        match step.what {
            What::Read(size) if here.reading.is_none() => {
                let Some(reader) = ends.reader() else { return Ok(()) };
                let operation = self.starts(step).read(reader, size);
                let (once, on) = (operation.once, operation.on);
                self.tell(format_args!("{name}: read {size}, once: {once}, in runtime {on}"));
                self.connections[at].sides[side].reading = Some(operation);
            }
            What::Write(size) if here.writing.is_none() => {
                let Some(writer) = ends.writer() else { return Ok(()) };
                let (from, in_vain) = (way.sent, way.ended);
                let operation = self.starts(step).write(writer, size, side, from);
                self.tell(format_args!("{name}: write {size} in runtime {}", operation.on));
                let connection = &mut self.connections[at];
                connection.sides[side].writing = Some(Operation { in_vain, ..operation });
                connection.begins_to_write(side);
            }
            What::CancelRead | What::CancelWrite => {
                let read = step.what == What::CancelRead;
                let place = if read { &mut here.reading } else { &mut here.writing };
                let Some(operation) = place else { return Ok(()) };
                operation.asked = true;
                if step.way & 1 == 0 {
                    operation.task.cancel();
                } else {
                    operation.task.abort();
                }
                self.tell(format_args!("{name}: {:?}", step.what));
            }
            What::Shut => {
                let Some(writer) = ends.writer() else { return Ok(()) };
                way.ended = true;
                let close = std::future::poll_fn(move |cx| writer.poll_close(cx));
                self.tell(format_args!("{name}: ends its direction"));
                self.call(step.on, "close", close)?;
            }
            What::Split | What::Reunite if is_idle => {
                let split = step.what == What::Split;
                if if split { ends.split()? } else { ends.reunite()? } {
                    self.tell(format_args!("{name}: {:?}", step.what));
                }
            }
            What::DropRead if here.reading.is_none() => {
                let (dropped, last) = (ends.drop_read(), ends.writer().is_none());
                self.after_half(at, side, dropped, last);
            }
            What::DropWrite if here.writing.is_none() => {
                let (dropped, last) = (ends.drop_write(), ends.reader().is_none());
                way.ended |= dropped;
                self.after_half(at, side, dropped, last);
            }
            What::Close => self.close(at, side, false)?,
            // (Who is reset in the queue may never come out of it.)
            What::Reset if is_met => {
                self.close(at, side, true)?;
            }
            What::Move if is_idle && ends.reader().is_some() && ends.writer().is_some() => {
                if !ends.reunite()? {
                    self.tell(format_args!("{name}: moves"));
                }
                let ends = self.connections[at].sides[side].ends.take().expect("it is open");
                let moves = ends.migrate()?;
                let (ends, home) = self.call(1 - step.on, "from_std", async move { moves() })?;
                let here = &mut self.connections[at].sides[side];
                (here.ends, here.home) = (Some(ends), home);
            }
            _ => {}
        }
        Ok(())
    }

    /// The last half closes the socket.
    fn after_half(&mut self, at: usize, side: usize, dropped: bool, last: bool) {
        if dropped {
            self.tell(format_args!("connection {at}, side {side}: drops a half, the last: {last}"));
        }
        if dropped && last {
            self.connections[at].close(side, false);
        }
    }

    fn close(&mut self, at: usize, side: usize, reset: bool) -> Done {
        for direction in [Direction::Write, Direction::Read] {
            let here = &mut self.connections[at].sides[side];
            let place = match direction {
                Direction::Read => &mut here.reading,
                Direction::Write => &mut here.writing,
            };
            if let Some(operation) = place {
                operation.asked = true;
                operation.task.cancel();
                self.collect(at, side, direction)?;
            }
        }
        let ends = self.connections[at].sides[side].ends.take().expect("it is open");
        let reset = reset && ends.will_reset();
        drop(ends);
        self.tell(format_args!("connection {at}, side {side}: closed, reset: {reset}"));
        self.connections[at].close(side, reset);
        Ok(())
    }

    fn close_all(&mut self) -> Done {
        while !self.listeners.is_empty() {
            self.close_listener(0)?;
        }
        for at in 0..self.connections.len() {
            for side in [0, 1] {
                if self.connections[at].sides[side].stage == Stage::Open {
                    self.close(at, side, false)?;
                }
            }
        }
        Ok(())
    }

    fn end_runtime(&mut self, number: usize, end: End) -> Done {
        let Some(runtime) = self.runtimes[number].take() else { return Ok(()) };
        self.over[number] = true;
        let grace = match end {
            End::Close | End::Drop => {
                drop(runtime);
                return Ok(());
            }
            End::Shutdown => Duration::ZERO,
            End::Grace => HANG,
        };
        let report = runtime.shutdown(grace);
        if !report.stuck.is_empty() || !grace.is_zero() && report.aborted > 0 {
            return Err(format!("runtime {number}: {report:?}").into());
        }
        Ok(())
    }

    // ── what ends ─────────────────────────────────────────────────────────────────────────────

    /// Whatever must end has ended, and whatever has ended is judged.
    fn settle(&mut self) -> Done {
        loop {
            let mut progress = false;
            for which in 0..self.listeners.len() {
                if self.listeners[which].must_accept(self.over) {
                    self.accepted(which)?;
                    progress = true;
                }
            }
            for direction in [Direction::Write, Direction::Read] {
                for at in 0..self.connections.len() {
                    for side in [0, 1] {
                        if self.must_end(at, side, direction) {
                            self.collect(at, side, direction)?;
                            progress = true;
                        }
                    }
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    fn must_end(&self, at: usize, side: usize, direction: Direction) -> bool {
        let connection = &self.connections[at];
        let here = &connection.sides[side];
        match direction {
            Direction::Read => {
                let ended = |operation: &Operation| operation.task.is_finished();
                connection.must_read(side, self.over) || here.reading.as_ref().is_some_and(ended)
            }
            Direction::Write => {
                let ended = |operation: &Operation| operation.task.is_finished();
                connection.must_write(side, self.over) || here.writing.as_ref().is_some_and(ended)
            }
        }
    }

    fn collect(&mut self, at: usize, side: usize, direction: Direction) -> Done {
        let over = self.over;
        let connection = &mut self.connections[at];
        let here = &mut connection.sides[side];
        let taken = match direction {
            Direction::Read => here.reading.take(),
            Direction::Write => here.writing.take(),
        };
        let mut operation = taken.expect("there is one");
        let name = format!("connection {at}, side {side}: {direction:?} of {}", operation.size);
        let said = outcome(&mut operation).map_err(|what| format!("{name}: {what}"))?;
        let judged = match direction {
            Direction::Read => connection.has_read(side, &operation, &said, over),
            Direction::Write => connection.has_written(side, &operation, &said, over),
        };
        let (read, written, ended) = (said.read.len(), said.written, said.ended);
        self.tell(format_args!("{name}: {} bytes, {ended:?}", read + written));
        judged.map_err(|what| format!("{name}: {what}"))?;
        Ok(())
    }

    fn accepted(&mut self, which: usize) -> Done {
        let (listener, over) = (&mut self.listeners[which], self.over);
        let mut operation = listener.accepting.take().expect("there is one");
        let name = format!("listener {which}: accept");
        let mut said = outcome(&mut operation).map_err(|what| format!("{name}: {what}"))?;
        let Some((ends, from)) = said.accepted.take() else {
            let cut = operation.asked || over[operation.on];
            self.tell(format_args!("{name}: {:?}", said.ended));
            return match said.ended {
                None if cut => Ok(()),
                Some(_) if over[self.listeners[which].home] || over[operation.on] => Ok(()),
                ended => Err(format!("{name}: it has ended: {ended:?}").into()),
            };
        };
        // (TCP need not keep the order; a socket's number tells who it is.)
        let found = match from {
            None => (!listener.queue.is_empty()).then_some(0),
            Some(_) => listener.queue.iter().position(|at| self.connections[*at].name == from),
        };
        let Some(number) = found.and_then(|place| self.listeners[which].queue.remove(place)) else {
            return Err(format!("{name}: {from:?} is nobody who waits").into());
        };
        self.tell(format_args!("{name}: connection {number}"));
        let here = &mut self.connections[number].sides[1];
        (here.ends, here.stage, here.home) = (Some(ends), Stage::Open, operation.on);
        Ok(())
    }
}

/// What an operation has said when its task was over.
fn outcome(operation: &mut Operation) -> Result<Said, String> {
    let task: &mut JoinHandle<()> = &mut operation.task;
    match task.join_timeout(HANG) {
        None => Err("it hangs".into()),
        Some(Err(error)) if error.is_panic() => Err("it has panicked".into()),
        Some(_) => Ok(std::mem::take(&mut *operation.said.lock().unwrap())),
    }
}

fn still_held() -> String {
    "a task has ended, and what it held is still held".into()
}

fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable};
    // EMFILE, ENFILE.
    matches!(error.kind(), AddrInUse | AddrNotAvailable)
        || matches!(error.raw_os_error(), Some(23 | 24))
}
