//! filch against tokio and async-executor: the same code, the same process, the same minutes.
//!
//! ```text
//! cargo bench -p filch-benches                          # everything, a table at the end
//! cargo bench -p filch-benches -- --filter ping_pong    # some of it
//! cargo bench -p filch-benches -- --write               # and remake benches/RESULTS.md and its plot
//! ```
//!
//! # How it is measured
//!
//! A machine drifts: its clock speed, its neighbours, its page cache. Two programs timed one after the other differ by more than
//! two runtimes do. So the contenders take turns, *filch, tokio, async-executor, filch, tokio, …*, for at least seven rounds, and what
//! counts is the ratio **within** each round. The table gives the median of these ratios and, beside it, the smallest and the
//! largest. A range that includes 1 says that nothing was shown; a difference under 15 % is noise here.
//!
//! - A workload is written once, generic over `contender::Contender`, and monomorphised for each: no contender
//!   pays for a call another does not pay for.
//! - Every contender has the same number of worker threads (2, or `--workers`), and keeps its runtime for the whole workload.
//!   A first round warms up and is not counted. While one runs, the runtimes of the others are parked.
//! - Where CPU time or memory is measured, each figure comes from a process of its own.
//! - tokio is built as most programs build it: multi-thread, `enable_all`, its I/O driver included. async-executor is run the way smol
//!   runs it: one static executor, threads in `async_io::block_on`, timers of async-io, blocking calls by `blocking`.
//!
//! # How servers are measured
//!
//! For each contender a *server* runs in a process of its own (this program once more), from the first round to the last. The
//! *load* is made by this process, on one thread, the same for all: so and so many connections in a closed loop (each sends its next
//! request when it has read the answer to the last), non-blocking sockets, one `epoll`, one system call to read an answer and
//! one to send a request. It shares the cores with the server: what it needs is no small part of each request's
//! time, and no ratio of requests per second says how much faster the runtime itself is. So there is also the *CPU*: the time that the server's
//! process alone has used, for each request; the server tells over a pipe. While one server is under load the
//! others have their connections open and nothing to do. Each round begins with 100 ms of load that do not count, then lasts a second. If
//! others on the machine used more than a tenth of a core meanwhile, it is repeated, up to five times; the calmest one counts.
//! `--under "perf stat"` (or strace, or valgrind) runs the servers under that; how many requests they had is said at the end.
//!
//! - *Requests per second* are counted from start to deadline. *Latency* is from just before the request is sent until
//!   just after its answer was read, of all requests of the round; what the load itself makes a request wait is in it, for all alike.
//! - *Extra CPU* and *extra time*: two servers of the same contender, with and without what is measured, under load in turn for 100 ms
//!   each; the difference of both for each request.
//! - *Handlers* that compute do the same number of steps for each contender, so many as take the time said on an idle core.
//!
//! # How servers that compute are measured
//!
//! The workloads *beside n jobs* have servers in processes of their own, too; each keeps so many jobs in flight, each of which needs 20 ms
//! CPU. The load is not a closed loop but *paced*: 4,000 requests a second over 20 connections, whether or not answers come, so a server
//! whose connections starve is asked as often as one that answers at once. A request that has no answer when sending ends counts
//! with its age then. The two threads that send and read are made real-time threads (by `chrt`, which only root may; else a nice level of
//! -20, else nothing, and stderr says so): the server's threads do not keep them waiting. Jobs are counted in twentieths, by the
//! server. What the lane reaches depends on the machine's scheduler: nice levels mean most where nobody else runs.
//!
//! *All blocked* is in this process. What is measured is how long a task waits from when it can run until it runs. The
//! blockers let go as soon as it has run, or after 60 ms. So filch is tried 20 times a round for each place; tokio, where it is the whole
//! 60 ms, twice. *Longest* is that of a round; the range's upper end is the longest of all.
//!
//! # How to read the ratio
//!
//! | the cell says | meaning | better |
//! |---|---|---|
//! | `4.3 ×` | tokio's figure / filch's: filch is 4.3 times as fast | larger |
//! | `0.51 of` | filch's figure / tokio's: filch needs 51 % of tokio's | smaller |
//! | `1.7` | filch's figure as it is, compared with nobody's | smaller |
//!
//! Times are speedups; CPU, lateness and memory are shares. In the plot everything is "times better than tokio". Goals are data in `workloads`; they hold with 2 workers. With more
//! workers than that on 2 cores, 0.7 of them, and never worse than 0.9 of tokio: `--workers 4 --write` makes RESULTS-4.md, with a
//! column for that. A goal is for the reader: nothing here fails
//! because of a time, not even the tests, which only see to it that each workload does its work for each contender.
//!
//! # Where things are
//!
//! - `contender`: what a runtime has to offer to take part, and the three that do.
//! - `workload`: what a workload is, its metrics and goals. `workloads`: all of them, and the table of goals.
//! - `harness`: turns, rounds, processes. `stats`: median, percentiles.
//! - `report`, `verdict`, `plot`, `machine`: the table, what follows from it, the picture, and where it was measured.
//! - `served`: a server in its process, seen from here; `service`: seen from inside. `load`: who asks it. `work`: how handlers
//!   compute. `paced`: who asks servers that compute.
//! - `others`: the same in other languages.
//! - `single`: core operations for criterion.
//! - `usage`: CPU time and memory of this process.
//! - `growth`: what a cost depends on, one point a process; `curves`: how that is drawn, and `tails`, how
//!   latencies are spread. `cores`: a model of
//!   machines with many.

mod cli;
mod contender;
mod cores;
mod curves;
mod growth;
mod harness;
mod load;
mod machine;
mod others;
mod paced;
mod plot;
mod report;
mod served;
mod service;
mod single;
mod stats;
mod tails;
mod usage;
mod verdict;
mod work;
mod workload;
mod workloads;

use std::process::ExitCode;

pub use crate::single::{Operation, operations};

/// The whole program: reads the command line, measures, prints, writes.
#[must_use]
pub fn main() -> ExitCode {
    cli::main()
}
