//! What the system says of a worker's thread: is its poll at fault, or does it only lack a processor?
//!
//! A worker that is in the same poll as at the sample before may block there or compute; then somebody else should
//! work in its place. Or the kernel has put it aside, because more threads want to run than there are processors. Then one more is
//! the last thing that helps: it takes the processor from the others, who are put aside in turn, and found stuck.
//!
//! Linux tells the two apart: whoever waits for a processor is ready to run, and has not run for long since it was asked first. It
//! is a file to read and a clock, 10 µs, so it is asked only when a spare worker might come. (The time is the thread's own
//! clock: what `schedstat` says moves only with the system's tick.) Where the system does not tell, nobody is taken to be put aside.
//!
//! Tried, and not kept: to ask before one is dismissed, too. The first answer in a poll tells nothing yet, and taken for "put aside" it
//! sent the spare worker away from one that computes, once in each of its polls.
//!
//! Measured with `benches`, row "HTTP, 64 connections", 2 workers: without this two spare workers came in the first second and stayed (95 looks
//! at the process); with it none did (106 looks). The 99th percentile of latency, in turn, as a share of tokio's: 0.90 and 0.95 without,
//! 0.82 and 0.71 with it, two times three rounds or four; the 99.9th 1.33 and 1.56, then 0.61 and 1.11. Requests a second: no difference.
//! (All that while it was still asked before a dismissal.)

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys;

/// A thread of this process.
#[derive(Debug)]
pub(crate) struct OsThread {
    number: u32,
    stat: PathBuf,
    /// Instead of what the system says.
    #[cfg(test)]
    told: Option<std::sync::Arc<std::sync::Mutex<State>>>,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for something else than a processor.
    Blocked,
    /// It has a processor, or waits for one.
    Ready {
        /// For so long it has had one since it began.
        ran: Duration,
    },
}

impl OsThread {
    /// The calling thread. `None`: this system does not tell.
    pub(super) fn current() -> Option<OsThread> {
        if cfg!(any(filch_loom, miri)) {
            // The threads of a model are the model's.
            return None;
        }
        // A link to "PROCESS/task/THREAD".
        let folder = Path::new("/proc").join(fs::read_link("/proc/thread-self").ok()?);
        let number = folder.file_name()?.to_str()?.parse().ok()?;
        Some(OsThread {
            number,
            stat: folder.join("stat"),
            #[cfg(test)]
            told: None,
        })
    }

    /// `None`: the system does not tell, or no longer.
    pub(super) fn state(&self) -> Option<State> {
        #[cfg(test)]
        if let Some(told) = &self.told {
            return Some(*told.lock().unwrap());
        }
        let stat = fs::read(&self.stat).ok()?;
        // "NUMBER (NAME) STATE …", and the name may have brackets of its own.
        let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
        if *stat.get(name_ends + 2)? != b'R' {
            return Some(State::Blocked);
        }
        Some(State::Ready { ran: sys::processor_time(self.number)? })
    }

    #[cfg(test)]
    pub(super) fn told(told: std::sync::Arc<std::sync::Mutex<State>>) -> OsThread {
        OsThread { number: 0, stat: PathBuf::new(), told: Some(told) }
    }
}

#[cfg(all(test, target_os = "linux", not(filch_loom), not(miri)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn the_system_tells_who_blocks_and_for_how_long_somebody_ran() {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let blocked = thread::Builder::new()
            .name("a ) R (".into())
            .spawn(move || {
                tell.send(OsThread::current().expect("Linux tells")).unwrap();
                let _ = stopped.recv();
            })
            .unwrap();
        let other = told.recv().unwrap();
        // (It may be on its way.)
        while other.state() != Some(State::Blocked) {
            thread::yield_now();
        }
        let this = OsThread::current().expect("Linux tells");
        let ran = || match this.state() {
            Some(State::Ready { ran }) => ran,
            other => panic!("who asks is ready, not {other:?}"),
        };
        let before = ran();
        while ran() < before + Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        drop(stop);
        blocked.join().unwrap();
        // (Joined a moment before the system forgets it.)
        while other.state().is_some() {
            thread::yield_now();
        }
    }
}
