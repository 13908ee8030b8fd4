//! What must be so when everybody is at rest.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use filch::{Metrics, Runtime};

use crate::HEAP;
use crate::ledger::{Ledger, Sums};
use crate::system::{self, Usage};
use crate::world::{Patience, World};

/// What may come late (a thread that ends, a socket's last event) has so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// More of these than at most in the first epochs is a leak. (The peaks that the pool of blocks keeps chunks for differ in
/// size. A leak of 16 bytes in each of a hundred million tasks is 1.6 GB.)
const HEAP_SLACK: (f64, u64) = (1.3, 16 << 20);
const RSS_SLACK: (f64, u64) = (1.4, 64 << 10);
const FDS_SLACK: u64 = 8;

/// One end of an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    pub(crate) at: Duration,
    pub(crate) usage: Usage,
    pub(crate) heap: u64,
    pub(crate) sums: Sums,
    pub(crate) rounds: u64,
    pub(crate) polls: u64,
    pub(crate) stalls: u64,
    pub(crate) worst_late: Duration,
    /// How long the process did not run in this epoch.
    pub(crate) paused: Duration,
    /// How long it took until everything was at rest.
    pub(crate) took: Duration,
}

/// What later epochs are compared with: the most of the first ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Baseline {
    pub(crate) rss_kib: u64,
    pub(crate) heap: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
}

impl Baseline {
    pub(crate) fn learn(&mut self, rest: &Rest) {
        self.rss_kib = self.rss_kib.max(rest.usage.rss_kib);
        self.heap = self.heap.max(rest.heap);
        self.fds = self.fds.max(rest.usage.fds);
        self.threads = self.threads.max(rest.usage.threads);
    }

    pub(crate) fn most_heap(&self) -> u64 {
        (self.heap as f64 * HEAP_SLACK.0) as u64 + HEAP_SLACK.1
    }

    pub(crate) fn most_rss_kib(&self) -> u64 {
        (self.rss_kib as f64 * RSS_SLACK.0) as u64 + RSS_SLACK.1
    }

    pub(crate) fn most_fds(&self) -> u64 {
        self.fds + FDS_SLACK
    }

    pub(crate) fn compare(&self, rest: &Rest, world: &World) {
        let (usage, heap) = (&rest.usage, rest.heap);
        world.check(heap <= self.most_heap(), || {
            format!("{heap} bytes are allocated, after {} in the first epochs", self.heap)
        });
        world.check(usage.rss_kib <= self.most_rss_kib(), || {
            format!(
                "{} KiB are resident, after {} in the first epochs",
                usage.rss_kib, self.rss_kib
            )
        });
        world.check(usage.fds <= self.most_fds(), || {
            let files = system::open_files().join(", ");
            format!("{} files are open, after {}: {files}", usage.fds, self.fds)
        });
    }
}

/// Everybody has stopped. Nothing may be left.
pub(crate) fn audit(world: &World, runtime: &Runtime, ledger: &Ledger, most_threads: u64) -> Rest {
    let (begin, handle) = (Instant::now(), runtime.handle());
    let mut patience = Patience::new(PATIENCE);
    let mut left = what_is_left(&handle.metrics(), ledger, most_threads);
    while !left.is_empty() && !patience.is_over() {
        std::thread::sleep(Duration::from_millis(5));
        left = what_is_left(&handle.metrics(), ledger, most_threads);
    }
    let took = begin.elapsed();
    if !left.is_empty() {
        world.wrong(format!("at rest there is still: {}", left.join(", ")));
        eprintln!("{}\nthreads: {}", handle.task_tree(), system::threads().join(", "));
    }
    let (sums, metrics) = (ledger.sums(), handle.metrics());
    let total = &metrics.total;
    let (ended, books) = (ended(&metrics), books(ledger));
    world.check(books.contains(&ended), || {
        format!(
            "workers ended {ended} tasks ({} finished, {} cancelled, {} panicked), the books have {books:?}: {sums:?}",
            total.finished, total.cancelled, total.panicked
        )
    });
    Rest {
        at: world.began.elapsed(),
        usage: Usage::now(),
        heap: HEAP.allocated() as u64,
        sums,
        rounds: world.rounds.load(Ordering::Relaxed),
        polls: total.polls,
        stalls: metrics.stalls,
        worst_late: world.take_worst_late(),
        paused: world.pauses.lock().unwrap().1,
        took,
    }
}

/// By workers.
fn ended(metrics: &Metrics) -> u64 {
    let total = &metrics.total;
    total.finished + total.cancelled + total.panicked
}

/// How many workers should have ended: each that is surely a task, and nobody else (but jobs that became local tasks,
/// and callbacks).
fn books(ledger: &Ledger) -> std::ops::RangeInclusive<u64> {
    let (sums, callbacks) = (ledger.sums(), ledger.callbacks.load(Ordering::Relaxed));
    sums.created - sums.unsure..=sums.created + sums.jobs + callbacks
}

fn what_is_left(metrics: &Metrics, ledger: &Ledger, most_threads: u64) -> Vec<String> {
    let sums = ledger.sums();
    let mut left = Vec::new();
    let mut note = |what: &str, count: u64| {
        if count > 0 {
            left.push(format!("{count} {what}"));
        }
    };
    note("futures in the books", sums.created - sums.ended());
    note("jobs in the books", sums.jobs - sums.jobs_ended);
    note("tasks", metrics.alive as u64);
    note("tasks in the injectors", metrics.injector_len as u64);
    note("tasks the timer woke", metrics.due_len as u64);
    note("tasks in queues", metrics.total.queue_len as u64);
    note("timers", metrics.timers as u64);
    note("sockets", metrics.sockets as u64);
    note("jobs that wait", metrics.blocking_queue as u64);
    // (A worker counts what it has ended a moment later.)
    note("tasks that nobody has ended", books(ledger).start().saturating_sub(ended(metrics)));
    note("threads too many", Usage::now().threads.saturating_sub(most_threads));
    left
}
