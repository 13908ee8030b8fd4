//! What `/metrics` tells of requests: how long they took, by route.
//!
//! A histogram here is a counter for each range of durations. To count costs one atomic addition; how long the
//! slowest hundredth took is worked out by whoever reads two readings and takes the difference, Prometheus or the page.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use filch::Handle;
use hyper::StatusCode;

use crate::routes::Route;
use crate::runtime_figures;

/// From 1 µs to 16 s, two for each doubling: a percentile is told within a fifth.
const BUCKETS: usize = 49;

const fn upper_bound_ns(bucket: usize) -> u64 {
    (if bucket % 2 == 0 { 1000 } else { 1414 }) << (bucket / 2)
}

struct Histogram {
    /// The last one is for all that took longer.
    counts: [AtomicU64; BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    fn new() -> Histogram {
        Histogram { counts: [const { AtomicU64::new(0) }; BUCKETS + 1], sum_ns: AtomicU64::new(0) }
    }

    fn add(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (0..BUCKETS).find(|bucket| ns <= upper_bound_ns(*bucket)).unwrap_or(BUCKETS);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }
}

/// Answers by the first digit of their status.
const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

struct OfRoute {
    seconds: Histogram,
    answers: [AtomicU64; CLASSES.len()],
    in_flight: AtomicUsize,
    abandoned: AtomicU64,
}

impl OfRoute {
    fn new() -> OfRoute {
        OfRoute {
            seconds: Histogram::new(),
            answers: [const { AtomicU64::new(0) }; CLASSES.len()],
            in_flight: AtomicUsize::new(0),
            abandoned: AtomicU64::new(0),
        }
    }
}

/// All that is counted here. (The runtime counts for itself.)
pub(crate) struct Figures {
    routes: [OfRoute; Route::ALL.len()],
    connections: AtomicUsize,
    head_timeouts: AtomicU64,
}

impl Figures {
    pub(crate) fn new() -> Arc<Figures> {
        let routes = Route::ALL.map(|_| OfRoute::new());
        Arc::new(Figures {
            routes,
            connections: AtomicUsize::new(0),
            head_timeouts: AtomicU64::new(0),
        })
    }

    /// A connection, until the guard is dropped.
    pub(crate) fn connection(self: &Arc<Figures>) -> impl Drop + Send + 'static {
        struct Connection(Arc<Figures>);
        impl Drop for Connection {
            fn drop(&mut self) {
                self.0.connections.fetch_sub(1, Relaxed);
            }
        }
        self.connections.fetch_add(1, Relaxed);
        Connection(Arc::clone(self))
    }

    /// A connection was closed because no whole head came in time.
    pub(crate) fn head_timeout(&self) {
        self.head_timeouts.fetch_add(1, Relaxed);
    }

    /// A request whose head has been read.
    pub(crate) fn request(self: &Arc<Figures>, route: Route) -> InFlight {
        self.routes[route as usize].in_flight.fetch_add(1, Relaxed);
        InFlight { figures: Arc::clone(self), route, since: Instant::now(), is_answered: false }
    }

    /// In the text format of Prometheus.
    pub(crate) fn text(&self, runtime: &Handle) -> String {
        let mut text = String::with_capacity(32 * 1024);
        let written = self
            .write_requests(&mut text)
            .and_then(|()| runtime_figures::write(&mut text, runtime));
        written.expect("a string takes everything");
        text
    }

    fn write_requests(&self, text: &mut String) -> fmt::Result {
        let routes =
            || Route::ALL.iter().zip(&self.routes).map(|(route, figures)| (route.label(), figures));
        let name = "service_request_seconds";
        head(text, name, "histogram", "From a request's head to its answer.")?;
        for (route, OfRoute { seconds, .. }) in routes() {
            let mut total = 0;
            for (bucket, count) in seconds.counts.iter().enumerate() {
                total += count.load(Relaxed);
                write!(text, "{name}_bucket{{route=\"{route}\",le=\"")?;
                match bucket {
                    BUCKETS => write!(text, "+Inf")?,
                    _ => write!(text, "{}", upper_bound_ns(bucket) as f64 / 1e9)?,
                }
                writeln!(text, "\"}} {total}")?;
            }
            let sum = Duration::from_nanos(seconds.sum_ns.load(Relaxed));
            writeln!(text, "{name}_sum{{route=\"{route}\"}} {}", sum.as_secs_f64())?;
            writeln!(text, "{name}_count{{route=\"{route}\"}} {total}")?;
        }
        head(text, "service_answers_total", "counter", "Answers, by the kind of their status.")?;
        for (route, OfRoute { answers, .. }) in routes() {
            for (class, count) in CLASSES.iter().zip(answers) {
                let count = count.load(Relaxed);
                writeln!(
                    text,
                    "service_answers_total{{route=\"{route}\",status=\"{class}\"}} {count}"
                )?;
            }
        }
        head(text, "service_requests_in_flight", "gauge", "Requests that wait for their answer.")?;
        for (route, OfRoute { in_flight, .. }) in routes() {
            writeln!(
                text,
                "service_requests_in_flight{{route=\"{route}\"}} {}",
                in_flight.load(Relaxed)
            )?;
        }
        head(
            text,
            "service_abandoned_total",
            "counter",
            "Requests whose client went away, or was cut off.",
        )?;
        for (route, OfRoute { abandoned, .. }) in routes() {
            writeln!(
                text,
                "service_abandoned_total{{route=\"{route}\"}} {}",
                abandoned.load(Relaxed)
            )?;
        }
        let connections = self.connections.load(Relaxed);
        single(text, "service_connections", "gauge", "Open connections.", connections)?;
        let help = "Connections closed because no whole head of a request came in time.";
        let timeouts = self.head_timeouts.load(Relaxed);
        single(text, "service_head_timeouts_total", "counter", help, timeouts)
    }
}

pub(crate) fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

pub(crate) fn single(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    head(text, name, kind, help)?;
    writeln!(text, "{name} {value}")
}

/// A request that waits for its answer. If there never is one, because the client went away, it is dropped without, and
/// counted as that.
pub(crate) struct InFlight {
    figures: Arc<Figures>,
    route: Route,
    since: Instant,
    is_answered: bool,
}

impl InFlight {
    pub(crate) fn answered(mut self, status: StatusCode) {
        let figures = &self.figures.routes[self.route as usize];
        figures.seconds.add(self.since.elapsed());
        let class = match status.as_u16() {
            ..400 => 0,
            400..500 => 1,
            500.. => 2,
        };
        figures.answers[class].fetch_add(1, Relaxed);
        self.is_answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let figures = &self.figures.routes[self.route as usize];
        figures.in_flight.fetch_sub(1, Relaxed);
        if !self.is_answered {
            figures.abandoned.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_each_duration_is_counted_below_the_next_one() {
        for bucket in 1..BUCKETS {
            assert!(upper_bound_ns(bucket) > upper_bound_ns(bucket - 1));
        }
        let histogram = Histogram::new();
        for us in [0, 1, 2, 3, 1_000_000, 100_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let counts: Vec<_> = histogram.counts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(counts[..5], [2, 0, 1, 0, 1], "bounds: 1, 1.4, 2, 2.8, 4 µs");
        assert_eq!(counts[BUCKETS], 1, "100 s are beyond all bounds");
        assert_eq!(counts.iter().sum::<u64>(), 6);
    }
}
