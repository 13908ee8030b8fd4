//! What `/metrics` tells of the runtime: all that [`Handle::metrics`] knows, in the words of Prometheus.

use std::fmt::{self, Write as _};

use filch::{Handle, Histogram};

use crate::figures::{head, single};

pub(crate) fn write(text: &mut String, runtime: &Handle) -> fmt::Result {
    // The runtime keeps what it counts where it counts it, and adds it up for whoever asks. Once a second is not too often.
    let metrics = runtime.metrics();
    let (all, compute) = (&metrics.total, &metrics.compute);
    let mut gauge = |name: &str, help: &str, value: usize| single(text, name, "gauge", help, value);
    gauge("filch_workers", "Worker threads.", metrics.regular_workers)?;
    gauge("filch_spare_workers", "Workers that stand in for stuck ones.", metrics.spare_workers)?;
    gauge("filch_tasks_alive", "Tasks that have begun and not ended.", metrics.alive)?;
    gauge("filch_timers", "Sleeps and timeouts that wait.", metrics.timers)?;
    gauge("filch_sockets", "Sockets that the driver watches over.", metrics.sockets)?;
    gauge("filch_compute_queued", "Compute jobs that wait for a thread.", compute.queued)?;
    gauge("filch_compute_running", "Compute jobs that run.", compute.running)?;
    gauge("filch_compute_threads", "Threads for compute jobs.", compute.threads)?;
    gauge("filch_blocking_queued", "Blocking jobs that wait.", metrics.blocking_queue)?;
    gauge("filch_blocking_threads", "Threads for blocking jobs.", metrics.blocking_threads)?;
    gauge("filch_blocking_idle", "Those without a job.", metrics.blocking_idle)?;

    let name = "filch_tasks_queued";
    head(text, name, "gauge", "Tasks that can go on, and wait for a worker, by where.")?;
    let queues = [
        ("workers", all.queue_len),
        ("injector", metrics.injector_len),
        ("timer", metrics.due_len),
    ];
    for (queue, length) in queues {
        writeln!(text, "{name}{{queue=\"{queue}\"}} {length}")?;
    }

    let mut counter =
        |name: &str, help: &str, value: u64| single(text, name, "counter", help, value);
    counter("filch_polls_total", "Polls of tasks.", all.polls)?;
    counter("filch_finished_total", "Tasks that ended with a value.", all.finished)?;
    counter("filch_cancelled_total", "Tasks that were cancelled.", all.cancelled)?;
    counter("filch_panicked_total", "Tasks that panicked.", all.panicked)?;
    counter("filch_steals_total", "How often a worker stole from another.", all.steals)?;
    counter("filch_stolen_total", "How many tasks that were.", all.stolen)?;
    counter("filch_parks_total", "How often a worker went to sleep.", all.parks)?;
    counter("filch_events_total", "Events of sockets.", all.events)?;
    counter(
        "filch_timers_fired_total",
        "Sleeps and timeouts whose time came.",
        metrics.timers_fired,
    )?;
    counter(
        "filch_stalls_total",
        "Polls that took so long that they were reported.",
        metrics.stalls,
    )?;
    counter("filch_compute_started_total", "Compute jobs started.", compute.started)?;

    let waited = compute.waited.as_secs_f64();
    let help = "What compute jobs waited for a thread, all together.";
    single(text, "filch_compute_waited_seconds_total", "counter", help, waited)?;
    let help = "How long polls take; one in some hundred is measured.";
    histogram(text, "filch_poll_seconds", help, &all.poll_time)?;
    let help = "How long tasks wait for a worker once they can go on; some are measured.";
    histogram(text, "filch_wake_to_poll_seconds", help, &all.wake_to_poll)
}

fn histogram(text: &mut String, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
    head(text, name, "histogram", help)?;
    let mut total = 0;
    for (end, count) in histogram.buckets() {
        total += count;
        match end {
            Some(end) => writeln!(text, "{name}_bucket{{le=\"{}\"}} {total}", end.as_secs_f64())?,
            None => writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {total}")?,
        }
    }
    writeln!(text, "{name}_sum {}\n{name}_count {total}", histogram.sum().as_secs_f64())
}
