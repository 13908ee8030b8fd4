//! What a runtime counts, as text for Prometheus: after a second of work of all kinds it is printed once. A service would answer
//! `GET /metrics` with it.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use filch::{Handle, Histogram, Metrics, WorkerMetrics};

#[filch::main(worker_threads = 2)]
async fn main() {
    work().await;
    print!("{}", Prometheus(Handle::current().metrics()));
}

/// Tasks that compute a little, sleep, spawn others; calls that block and calls that compute.
async fn work() {
    let tasks: Vec<_> = (0..1000)
        .map(|i| {
            filch::spawn(async move {
                let child = filch::spawn(async move { (0..i).fold(1_u64, |sum, x| sum ^ x) });
                filch::sleep(Duration::from_millis(i % 50)).await;
                child.await.unwrap()
            })
        })
        .collect();
    let blocks = filch::spawn_blocking(|| std::thread::sleep(Duration::from_millis(10)));
    let computes = filch::spawn_compute(|| (1..=1_000_000_u64).sum::<u64>());
    for task in tasks {
        task.await.unwrap();
    }
    blocks.await.unwrap();
    assert_eq!(computes.await.unwrap(), 500_000_500_000);
    let _waits = filch::spawn(filch::sleep(Duration::from_secs(3600)));
    // A worker counts a task just after the handle has its result; and on a busy machine the second one may not even have begun.
    let is_complete = |metrics: Metrics| {
        metrics.timers > 0 && metrics.total.finished == 2000 && metrics.regular_workers == 2
    };
    while !is_complete(Handle::current().metrics()) {
        filch::yield_now().await;
    }
}

/// Shows itself as `text/plain; version=0.0.4`.
struct Prometheus(Metrics);

impl Display for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prometheus(metrics) = self;
        let mut page = Page(String::new());
        page.gauge("workers", "Worker threads.", metrics.regular_workers);
        page.gauge("spare_workers", "Spare workers at work.", metrics.spare_workers);
        page.gauge("tasks_alive", "Tasks polled and not ended.", metrics.alive);
        let total = &metrics.total;
        page.family("tasks_ended_total", "counter", "Tasks ended on workers.");
        page.sample("tasks_ended_total", "how=\"finished\"", total.finished);
        page.sample("tasks_ended_total", "how=\"cancelled\"", total.cancelled);
        page.sample("tasks_ended_total", "how=\"panicked\"", total.panicked);

        type Of = fn(&WorkerMetrics) -> u64;
        let counters: [(&str, &str, Of); 10] = [
            ("polls_total", "Polls.", |w| w.polls),
            ("slot_polls_total", "Polls of tasks from the LIFO slot.", |w| w.from_slot),
            ("injected_total", "Tasks from other threads.", |w| w.injected),
            ("due_total", "Tasks from the timer.", |w| w.due),
            ("steals_total", "Thefts.", |w| w.steals),
            ("stolen_tasks_total", "Tasks stolen.", |w| w.stolen),
            ("parks_total", "Times a worker went to sleep.", |w| w.parks),
            ("driver_turns_total", "Looks into the I/O driver.", |w| w.driver_turns),
            ("events_total", "Events of sockets.", |w| w.events),
            ("queue_length", "Tasks in a worker's queue.", |w| w.queue_len as u64),
        ];
        for (name, help, of) in counters {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            page.family(name, kind, help);
            for (i, worker) in metrics.workers.iter().enumerate() {
                page.sample(name, &format!("worker=\"{i}\""), of(worker));
            }
        }
        page.histogram("poll_seconds", "How long polls take (a sample).", &total.poll_time);
        page.histogram("wait_seconds", "From queue to poll (a sample).", &total.wake_to_poll);

        page.gauge("injector_length", "Tasks from other threads, not taken.", metrics.injector_len);
        page.gauge("timers", "Sleeps and timeouts pending.", metrics.timers);
        page.counter("timers_fired_total", "Sleeps and timeouts over.", metrics.timers_fired);
        page.counter("stalls_total", "Polls that took too long.", metrics.stalls);
        page.gauge("sockets", "Sockets watched over.", metrics.sockets);
        page.gauge("blocking_queue", "Blocking jobs that wait.", metrics.blocking_queue);
        page.gauge("blocking_threads", "Threads for them.", metrics.blocking_threads);
        page.gauge("blocking_idle", "Those of them that wait.", metrics.blocking_idle);
        let compute = &metrics.compute;
        page.gauge("compute_queue", "Compute jobs that wait.", compute.queued);
        page.gauge("compute_running", "Compute jobs that run.", compute.running);
        page.gauge("compute_threads", "Threads for them.", compute.threads);
        page.counter("compute_started_total", "Compute jobs started.", compute.started);
        let waited = compute.waited.as_secs_f64();
        page.counter("compute_waited_seconds_total", "How long they waited.", waited);
        f.write_str(&page.0)
    }
}

/// The text so far.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP filch_{name} {help}\n# TYPE filch_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "filch_{name} {value}"),
            _ => writeln!(self.0, "filch_{name}{{{labels}}} {value}"),
        };
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// Prometheus wants in each bucket what is in the smaller ones as well.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut sum = 0;
        for (end, count) in histogram.buckets() {
            sum += count;
            let end = end.map_or("+Inf".into(), |end| end.as_secs_f64().to_string());
            self.sample(&format!("{name}_bucket"), &format!("le=\"{end}\""), sum);
        }
        self.sample(&format!("{name}_sum"), "", histogram.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), "", sum);
    }
}
