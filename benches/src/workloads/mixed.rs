//! Servers that compute beside their connections: how long cheap requests wait then, and how much is computed.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::{Computes, TokioBlocking, TokioRayon, TokioSemaphore};
use crate::paced::{Paced, Schedule};
use crate::served::Server;
use crate::service::{CHUNKS, Mix, Service};
use crate::workload::{Entry, FILCH, Metric, Plan, Runner, Sample, TOKIO};
use crate::{usage, work};

/// CPU time of a job.
const JOB: Duration = Duration::from_millis(20);
/// What a job of the second kind returns.
const MEGABYTE: usize = 1 << 20;

const CONNECTIONS: usize = 20;
const FULL: Schedule = Schedule {
    interval: Duration::from_micros(250),
    warm_up: Duration::from_millis(150),
    time: Duration::from_millis(700),
    first: true,
};
const QUICK: Schedule = Schedule {
    interval: Duration::from_millis(1),
    warm_up: Duration::from_millis(2),
    time: Duration::from_millis(10),
    first: false,
};

/// Rounds in which others use more than so many cores are repeated, so often.
const CALM: f64 = 0.1;
const TRIES: usize = 3;

/// Names in the table, and servers. tokio's column is its usual way.
const SEMAPHORE: &str = "tokio + semaphore";
const RAYON: &str = "tokio + rayon";
const CONTENDERS: [(&str, &str); 4] = [
    (FILCH, "filch + spawn_compute"),
    (TOKIO, TokioBlocking::NAME),
    (SEMAPHORE, TokioSemaphore::NAME),
    (RAYON, TokioRayon::NAME),
];

/// A figure of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Latency(f64),
    /// Time for a job, all cores together.
    Job,
}

#[derive(Clone)]
struct Mixed {
    jobs: usize,
    bytes: usize,
    figures: Vec<(Figure, Metric)>,
}

pub(super) fn entries() -> Vec<Entry> {
    let figures = |usual, all: bool| {
        let mut figures = Vec::new();
        for (other, against, goal) in [
            (TOKIO, "", usual),
            (SEMAPHORE, " against semaphore", 0.15),
            (RAYON, " against rayon", 0.3),
        ] {
            let name = |what: &str| -> &'static str { format!("{what}{against}").leak() };
            let share = |what| Metric::share(name(what)).against(other);
            if all {
                figures.push((Figure::Latency(50.0), share("p50")));
            }
            figures.push((Figure::Latency(99.0), share("p99").goal(goal)));
            if all {
                figures.push((Figure::Latency(99.9), share("p99.9")));
            }
            let rate = Metric::rate().named(name("jobs")).against(other);
            figures.push((Figure::Job, rate.goal(0.9)));
        }
        figures
    };
    let mixed = |jobs, usual, bytes| Mixed { jobs, bytes, figures: figures(usual, bytes == 0) };
    vec![
        mixed(8, 0.05, 0).entry(
            "beside 8 jobs",
            "a server gets 4,000 requests a second, 64 bytes each, sends them back, and keeps 8 jobs of 20 ms CPU in flight: latency \
             of the requests, jobs per second. filch: spawn_compute; tokio: spawn_blocking, the same behind a \
             semaphore with a permit for each core, and rayon's threads with a oneshot channel",
        ),
        mixed(64, 0.001, 0).entry("beside 64 jobs", "the same with 64 jobs in flight"),
        mixed(8, 0.05, MEGABYTE).entry(
            "beside 8 jobs with 1 MB",
            "the same with 8 jobs each of which returns a Vec of 1 MB, which is dropped by the task that waited for it",
        ),
        mixed(64, 0.001, MEGABYTE)
            .entry("beside 64 jobs with 1 MB", "the same with 64 jobs in flight"),
    ]
}

impl Mixed {
    fn entry(self, name: &'static str, about: &'static str) -> Entry {
        let runner = |(contender, server): (&'static str, &'static str)| {
            let mixed = self.clone();
            Runner { contender, start: Box::new(move |plan| mixed.start(contender, server, plan)) }
        };
        let contenders = CONTENDERS.iter().copied();
        // Without it the others are still compared by eye.
        let contenders = contenders.filter(|(name, _)| cfg!(feature = "filch") || *name != FILCH);
        Entry {
            name,
            about,
            metrics: self.figures.iter().map(|&(_, metric)| metric).collect(),
            own_process: false,
            min_rounds: 0,
            batch: Box::new(|plan| plan.size(1, QUICK.requests())),
            contenders: contenders.map(runner).collect(),
        }
    }

    fn start(
        &self,
        contender: &'static str,
        server: &str,
        plan: Plan,
    ) -> Box<dyn FnMut() -> Sample> {
        let job = if plan.quick { Duration::from_millis(1) } else { JOB };
        let mix = Mix { jobs: self.jobs, chunk: work::steps_for(job) / CHUNKS, bytes: self.bytes };
        let side = Side::start(Service::Mixed(mix), server, plan.workers);
        let mut side = side.unwrap_or_else(|error| panic!("{contender} does not serve: {error}"));
        let figures: Vec<_> = self.figures.iter().map(|&(figure, _)| figure).collect();
        Box::new(move || {
            let round = side.calm_round(plan, &figures);
            round.unwrap_or_else(|error| panic!("{contender}: {error}"))
        })
    }
}

impl Schedule {
    fn requests(self) -> usize {
        self.time.div_duration_f64(self.interval).round() as usize
    }
}

/// A server, and the connections to it.
struct Side {
    load: Paced,
    server: Server,
}

impl Side {
    fn start(service: Service, contender: &str, workers: usize) -> io::Result<Side> {
        let server = Server::start(service, contender, workers)?;
        let load = Paced::connect(server.port(), CONNECTIONS)?;
        Ok(Side { load, server })
    }

    /// The round that others disturbed least, of several if there is no calm one.
    fn calm_round(&mut self, plan: Plan, figures: &[Figure]) -> io::Result<Sample> {
        if plan.quick {
            return self.round(QUICK, figures);
        }
        let mut calmest = None;
        for _ in 0..TRIES {
            let (start, before_s) = (Instant::now(), self.others_s()?);
            let sample = self.round(FULL, figures)?;
            let noise = (self.others_s()? - before_s) / start.elapsed().as_secs_f64();
            if calmest.as_ref().is_none_or(|&(least, _)| noise < least) {
                calmest = Some((noise, sample));
            }
            // Also if the system does not tell.
            if !matches!(&calmest, Some((noise, _)) if *noise > CALM) {
                break;
            }
        }
        let (noise, sample) = calmest.expect("it tries at least once");
        if noise > CALM {
            eprintln!("  disturbed: others used {noise:.2} cores");
        }
        Ok(sample)
    }

    fn round(&mut self, schedule: Schedule, figures: &[Figure]) -> io::Result<Sample> {
        let Side { load, server } = self;
        server.start_jobs()?;
        let server = std::cell::RefCell::new(server);
        let beside = || {
            let mut server = server.borrow_mut();
            thread::sleep(schedule.warm_up);
            let (jobs_before, before_ns) = server.jobs_done()?;
            thread::sleep(schedule.time);
            let (jobs, now_ns) = server.jobs_done()?;
            Ok((now_ns - before_ns) / (jobs - jobs_before))
        };
        let stop = || server.borrow_mut().stop_jobs();
        let (outcome, job_ns) = load.run(schedule, beside, stop)?;
        let figure = |&figure: &Figure| match figure {
            Figure::Latency(percent) => outcome.latency_ns(percent),
            Figure::Job => job_ns,
        };
        Ok(Sample::new(outcome.requests, figures.iter().map(figure).collect())
            .with_tail(outcome.tail()))
    }

    /// CPU time that others than this process and its server have used so far. NaN: the system does not tell.
    fn others_s(&mut self) -> io::Result<f64> {
        let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
        let ours = seconds(usage::cpu_time()) + self.server.cpu_ns()? / 1e9;
        Ok(seconds(usage::cpu_time_of_all()) - ours)
    }
}
