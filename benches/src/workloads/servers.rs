//! Servers under load.

use std::io;
use std::time::{Duration, Instant};

use crate::load::{Exchange, Limit, Load, Outcome};
use crate::served::Server;
use crate::service::Service;
use crate::workload::{Entry, Metric, Plan, Runner, Sample};
use crate::{usage, work};

/// Load that does not count, before each round.
const WARM_UP: Duration = Duration::from_millis(100);
/// How long each of two servers is under load until it is the other's turn.
const SLICE: Duration = Duration::from_millis(100);

/// Bytes of a request of the echo workloads.
const ECHO: usize = 64;

/// Rounds in which others use more than so many cores are repeated, so often.
const CALM: f64 = 0.1;
const TRIES: usize = 5;

/// A server under load, and what to tell of it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) service: Service,
    /// For figures that say what the service costs more than this one.
    pub(super) without: Option<Service>,
    /// How long handlers compute, if there are any.
    pub(super) compute: Duration,
    pub(super) connections: usize,
    pub(super) contenders: Vec<Contestant>,
    pub(super) figures: Vec<(Figure, Metric)>,
}

/// Who takes part.
#[derive(Clone, Copy)]
pub(super) struct Contestant {
    /// As [`Metric::between`] has it.
    pub(super) name: &'static str,
    pub(super) runtime: &'static str,
    /// Not as many workers as the plan says.
    pub(super) workers: Option<usize>,
}

impl Contestant {
    pub(super) const fn usual(name: &'static str) -> Contestant {
        Contestant { name, runtime: name, workers: None }
    }
}

/// Something to tell of a round, in nanoseconds for each request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Time,
    /// This many percent of the requests take no longer.
    Latency(f64),
    /// Of the server's process.
    Cpu,
    ExtraTime,
    ExtraCpu,
}

impl Served {
    pub(super) fn entry(self, name: &'static str, about: &'static str) -> Entry {
        let connections = self.connections;
        let runner = |contestant: Contestant| {
            let served = self.clone();
            Runner {
                contender: contestant.name,
                start: Box::new(move |plan| served.start(contestant, plan)),
            }
        };
        Entry {
            name,
            about,
            metrics: self.figures.iter().map(|&(_, metric)| metric).collect(),
            own_process: false,
            min_rounds: 0,
            batch: Box::new(move |plan| plan.size(1, requests(connections))),
            contenders: self.contenders.iter().map(|&contestant| runner(contestant)).collect(),
        }
    }

    fn start(&self, contestant: Contestant, plan: Plan) -> Box<dyn FnMut() -> Sample> {
        let workers = contestant.workers.unwrap_or(plan.workers);
        let side = |service| {
            let service = match service {
                // Counted here, so that it is the same for all.
                Service::Http { .. } => Service::Http { steps: work::steps_for(self.compute) },
                echo => echo,
            };
            let side = Side::start(service, contestant.runtime, workers, self.connections);
            side.unwrap_or_else(|error| panic!("{} does not serve: {error}", contestant.name))
        };
        let mut with = side(self.service);
        let mut without = self.without.map(side);
        let served = self.clone();
        Box::new(move || {
            let round = served.calm_round(plan, &mut with, &mut without);
            round.unwrap_or_else(|error| panic!("{}: {error}", contestant.name))
        })
    }

    /// The round that others disturbed least, of several if there is no calm one.
    fn calm_round(
        &self,
        plan: Plan,
        with: &mut Side,
        without: &mut Option<Side>,
    ) -> io::Result<Sample> {
        let mut calmest = None;
        for _ in 0..TRIES {
            let (start, before_s) = (Instant::now(), others_s(with, without.as_ref()));
            let sample = self.round(plan, with, without.as_mut())?;
            let noise_s = others_s(with, without.as_ref()) - before_s;
            let noise = noise_s / start.elapsed().as_secs_f64();
            if calmest.as_ref().is_none_or(|&(least, _)| noise < least) {
                calmest = Some((noise, sample));
            }
            // Also if the system does not tell.
            if plan.quick || !matches!(&calmest, Some((noise, _)) if *noise > CALM) {
                break;
            }
        }
        let (noise, sample) = calmest.expect("it tries at least once");
        if noise > CALM && !plan.quick {
            eprintln!("  disturbed: others used {noise:.2} cores");
        }
        Ok(sample)
    }

    fn round(&self, plan: Plan, with: &mut Side, without: Option<&mut Side>) -> io::Result<Sample> {
        let figures = |figure: &dyn Fn(Figure) -> f64| {
            self.figures.iter().map(|&(kind, _)| figure(kind)).collect()
        };
        if plan.quick {
            let few = Limit::Requests(requests(self.connections));
            let sums = with.run(few)?;
            without.map(|without| without.run(few)).transpose()?;
            return Ok(Sample::new(sums.answers, figures(&|kind| sums.figure(kind)))
                .with_tail(sums.tail()));
        }
        with.run(Limit::Time(WARM_UP))?;
        let Some(without) = without else {
            let sums = with.run(Limit::Time(ROUND))?;
            return Ok(Sample::new(sums.answers, figures(&|kind| sums.figure(kind)))
                .with_tail(sums.tail()));
        };
        without.run(Limit::Time(WARM_UP))?;
        let (mut more, mut less) = (Sums::default(), Sums::default());
        for _ in 0..(ROUND.as_nanos() / SLICE.as_nanos()) {
            more.add(with.run(Limit::Time(SLICE))?);
            less.add(without.run(Limit::Time(SLICE))?);
        }
        let figures = figures(&|kind| match kind {
            Figure::ExtraTime => more.figure(Figure::Time) - less.figure(Figure::Time),
            Figure::ExtraCpu => more.figure(Figure::Cpu) - less.figure(Figure::Cpu),
            _ => more.figure(kind),
        });
        Ok(Sample::new(more.answers, figures))
    }
}

/// A round of one server.
const ROUND: Duration = Duration::from_secs(1);

/// Of a round that only shows that everything runs.
fn requests(connections: usize) -> usize {
    2 * connections
}

/// CPU time that others than this process and these servers have used so far. NaN: the system does not tell.
fn others_s(with: &Side, without: Option<&Side>) -> f64 {
    let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
    let servers_ns = with.cpu_ns + without.map_or(0.0, |side| side.cpu_ns);
    seconds(usage::cpu_time_of_all()) - seconds(usage::cpu_time()) - servers_ns / 1e9
}

/// A server, and the connections to it.
struct Side {
    load: Load,
    server: Server,
    requests: usize,
    /// What the server has used in all runs.
    cpu_ns: f64,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.server.say(self.requests);
    }
}

impl Side {
    fn start(
        service: Service,
        runtime: &str,
        workers: usize,
        connections: usize,
    ) -> io::Result<Side> {
        let server = Server::start(service, runtime, workers)?;
        let exchange = match service {
            Service::Echo | Service::EchoTimeout | Service::Mixed(_) => Exchange::echo(ECHO),
            Service::Http { .. } => Exchange::http(server.port())?,
        };
        let load = Load::connect(server.port(), connections, exchange)?;
        Ok(Side { load, server, requests: 0, cpu_ns: 0.0 })
    }

    fn run(&mut self, limit: Limit) -> io::Result<Sums> {
        let before = self.server.cpu_ns()?;
        let outcome = self.load.run(limit)?;
        let cpu_ns = self.server.cpu_ns()? - before;
        self.requests += outcome.all_answers;
        self.cpu_ns += cpu_ns;
        Ok(Sums {
            answers: outcome.answers,
            time: outcome.time,
            all_answers: outcome.all_answers,
            cpu_ns,
            last: Some(outcome),
        })
    }
}

/// What one or several runs came to.
#[derive(Default)]
struct Sums {
    answers: usize,
    time: Duration,
    all_answers: usize,
    cpu_ns: f64,
    last: Option<Outcome>,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.answers += other.answers;
        self.time += other.time;
        self.all_answers += other.all_answers;
        self.cpu_ns += other.cpu_ns;
        self.last = other.last;
    }

    fn tail(&self) -> Vec<f64> {
        self.last.as_ref().map_or_else(Vec::new, Outcome::tail)
    }

    fn figure(&self, kind: Figure) -> f64 {
        match kind {
            Figure::Time => self.time.as_nanos() as f64 / self.answers as f64,
            Figure::Cpu => self.cpu_ns / self.all_answers as f64,
            Figure::Latency(percent) => {
                self.last.as_ref().map_or(f64::NAN, |outcome| outcome.latency_ns(percent))
            }
            Figure::ExtraTime | Figure::ExtraCpu => f64::NAN,
        }
    }
}
