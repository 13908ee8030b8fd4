//! Runs a model, and all its twins.
//!
//! A model that cannot fail shows nothing. So a [`Proof`] runs the model itself, which must hold,
//! and then one *twin* after the other: the same model with one bug in it, which must fail.
//!
//! - Each ordering that the model met and that is stronger than `Relaxed` is weakened, one at a
//!   time (how exactly: `filch_loom_primitive`). A twin that holds has SURVIVED: either the model
//!   does not show what the ordering is for, or nothing does.
//! - Each bug that the code under test offers with `seeded("name")` and that the proof lists.
//!
//! Orderings go by their tag: `// [unpark] partner: …` behind the call or in the lines above it,
//! with `/acquire`, `/release`, `/failure` or `/fetch` where only that part is meant. What has no
//! tag goes by `file:line`. A proof may have several models; an ordering that some of them meet
//! must be needed by one. What none needs must be listed as [`spare`](Proof::spare), with a
//! reason, and must really be. What belongs to another protocol, which the models only use, is
//! left as it is if the proof says what it is [`about`](Proof::about).
//!
//! Everything runs in child processes of the test binary (loom aborts in drops when a model
//! fails), never more than [`JOBS`] at once, each with a time limit. Out of time, or out of
//! branches, is never a proof, nor is a twin that fails with anything but an assertion of the
//! model (its message contains `MODEL:`) or a race, deadlock or leak that loom itself reports.
//! Panics that belong to a model contain `EXPECTED:`.
//!
//! One proof for each `#[test]`: the child finds it by the name of the test.

mod child;
mod deep;
mod readme;
mod report;
mod source;
mod table;
mod unmet;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use filch_loom_primitive::Whim;
use filch_loom_primitive::run::Twin;

use self::child::{Fate, Found, Order, Outcome};
pub(crate) use self::deep::again;
use self::report::Explored;
pub(crate) use self::report::{Report, Row, Verdict};
use self::source::Sources;

/// How many children run at a time.
const JOBS: usize = 2;

/// A protocol, its models, and what must be found out about them. See the [module](self).
#[derive(Debug)]
#[must_use]
pub(crate) struct Proof {
    name: &'static str,
    /// The test this is made in, for the child to find it again.
    test: String,
    models: Vec<Model>,
    preemptions: usize,
    branches: usize,
    limit: Duration,
    whims: Vec<(Whim, usize)>,
    about: Option<&'static [&'static str]>,
    spares: Vec<Spare>,
    seeds: Vec<Seed>,
    caught_by: Vec<&'static str>,
}

#[derive(Debug)]
struct Model {
    name: &'static str,
    run: fn(),
    /// The most preemptions with which it is known to end.
    deepest: Option<usize>,
}

#[derive(Debug)]
struct Spare {
    tag: &'static str,
    why: &'static str,
}

#[derive(Debug)]
struct Seed {
    name: &'static str,
    expected: &'static str,
}

impl Proof {
    /// A proof by one model, with 2 preemptions, 2,000 branches in an execution, and 240 seconds
    /// for each child (idle cores need 20 for the longest).
    pub(crate) fn of(name: &'static str, model: fn()) -> Proof {
        Proof {
            name,
            test: thread::current().name().expect("tests run in named threads").to_owned(),
            models: vec![Model { name, run: model, deepest: None }],
            preemptions: 2,
            branches: 2_000,
            limit: Duration::from_secs(240),
            whims: Vec::new(),
            about: None,
            spares: Vec::new(),
            seeds: Vec::new(),
            caught_by: Vec::new(),
        }
    }

    /// One more model: an ordering is needed if one of them needs it.
    pub(crate) fn and(mut self, name: &'static str, model: fn()) -> Proof {
        self.models.push(Model { name, run: model, deepest: None });
        self
    }

    /// How often loom may take the processor from a running thread.
    pub(crate) fn preemptions(mut self, most: usize) -> Proof {
        self.preemptions = most;
        self
    }

    /// A deep run gives the model `name` so many preemptions and no more: with more of them nobody has seen it end.
    #[track_caller]
    pub(crate) fn deepest(mut self, name: &'static str, most: usize) -> Proof {
        let model = self.models.iter_mut().find(|model| model.name == name);
        model.expect("it is a model of this proof").deepest = Some(most);
        self
    }

    /// How many decisions one execution may have: a model that needs more has a loop in it.
    pub(crate) fn branches(mut self, most: usize) -> Proof {
        self.branches = most;
        self
    }

    /// The time of each child.
    pub(crate) fn max_secs(mut self, seconds: u64) -> Proof {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Runs everything again with `whim` at its first, second, … `times`-th opportunity.
    pub(crate) fn whim(mut self, whim: Whim, times: usize) -> Proof {
        self.whims.extend((1..=times).map(|nth| (whim, nth)));
        self
    }

    /// Only orderings in these files, or with these `[tags]`, are weakened: the others belong to
    /// protocols that are used here and proved elsewhere.
    pub(crate) fn about(mut self, files: &'static [&'static str]) -> Proof {
        self.about = Some(files);
        self
    }

    /// No model here needs the ordering with this tag, and that is right, because …
    pub(crate) fn spare(mut self, tag: &'static str, why: &'static str) -> Proof {
        self.spares.push(Spare { tag, why });
        self
    }

    /// The bug `name` makes some model fail with a message that contains `expected`.
    pub(crate) fn seeded(mut self, name: &'static str, expected: &'static str) -> Proof {
        self.seeds.push(Seed { name, expected });
        self
    }

    /// A twin may also be caught by an assertion of the code under test whose message contains
    /// `text`.
    pub(crate) fn caught_by(mut self, text: &'static str) -> Proof {
        self.caught_by.push(text);
        self
    }

    /// Runs it all, prints the report and fails the test if it is not a proof.
    #[track_caller]
    pub(crate) fn check(self) {
        let mut report = self.run();
        let is_usual = !self.test.starts_with("selftest") && !deep::is_asked_for();
        if report.problems.is_empty() && is_usual {
            table::record_or_compare(&mut report);
        }
        println!("{report}");
        assert!(report.problems.is_empty(), "not a proof: {}", self.name);
    }

    /// Runs it all. (In a child this does not return.)
    pub(crate) fn run(&self) -> Report {
        if let Some(order) = Order::from_environment() {
            child::run(self, &order);
        }
        let start = Instant::now();
        let mut report = Report::new(self.name, self.test.clone());
        let places = self.run_models(&mut report);
        if report.problems.is_empty() {
            let places: Vec<MetPlace> = match deep::is_asked_for() {
                // What is needed for a bug of few steps is needed; what is spare may not be.
                true => places.into_iter().filter(|place| self.spare_of(place).is_some()).collect(),
                false => places,
            };
            self.run_twins(&places, &mut report);
        }
        report.seconds = start.elapsed().as_secs_f64();
        report
    }

    /// Runs the models as they are, and collects the places they met.
    fn run_models(&self, report: &mut Report) -> Vec<MetPlace> {
        let jobs: Vec<usize> = (0..self.models.len()).collect();
        let outcomes = in_parallel(&jobs, |&model| self.spawn(model, Twin::None));

        let mut places = BTreeMap::<String, MetPlace>::new();
        let mut asked = BTreeSet::new();
        let mut whims = BTreeSet::new();
        for (index, (model, outcome)) in self.models.iter().zip(outcomes).enumerate() {
            let Fate::Held(found) = outcome.fate else {
                report.problems.push(match outcome.fate {
                    Fate::Failed(message) => {
                        let message = self.locate(index).unwrap_or(message);
                        format!("the model \"{}\" fails: {message}", model.name)
                    }
                    other => {
                        format!("the model \"{}\" {}", model.name, other.excuse(deep::limit(self)))
                    }
                });
                continue;
            };
            report.models.push(Explored {
                name: model.name,
                preemptions: deep::preemptions(self, index),
                executions: found.executions,
                seconds: outcome.seconds,
            });
            asked.extend(found.asked);
            whims.extend(found.whims);
            for met in found.met {
                let place = places.entry(met.id.clone()).or_insert_with(|| MetPlace::new(met));
                place.models.push(index);
            }
        }
        if !report.problems.is_empty() {
            return Vec::new();
        }

        for index in (0..self.whims.len()).filter(|index| !whims.contains(index)) {
            let (whim, nth) = self.whims[index];
            let problem = format!("no execution has {nth} opportunities for a {whim:?}");
            report.problems.push(problem);
        }
        for seed in self.seeds.iter().filter(|seed| !asked.contains(seed.name)) {
            report.problems.push(format!("nothing asks for the seeded bug \"{}\"", seed.name));
        }
        let mut places: Vec<MetPlace> = places.into_values().collect();
        self.name_places(&mut places, report);
        if let Some(files) = self.about {
            let met = places.len();
            places.retain(|place| files.iter().any(|what| place.is_in(what)));
            report.left_out = met - places.len();
            for what in files {
                if !places.iter().any(|place| place.is_in(what)) {
                    report.problems.push(format!("it is about {what}, but nothing there is met"));
                }
            }
        }
        places
    }

    /// Finds the tags, and checks that they and the list of spares make sense.
    fn name_places(&self, places: &mut [MetPlace], report: &mut Report) {
        let mut sources = Sources::new();
        let mut owners = BTreeMap::<String, String>::new();
        for place in places.iter_mut() {
            let shown = sources.shown(&place.found.file);
            place.position = format!("{shown}:{}", place.found.line);
            place.function = sources.function(&place.found.file, place.found.line);
            let tag = sources.tag(&place.found.file, place.found.line);
            let base = tag.clone().unwrap_or_else(|| place.position.clone());
            let part = &place.found.part;
            place.tag = if part.is_empty() { base } else { format!("{base}/{part}") };

            if tag.is_some() {
                let position = format!("{}:{}", place.position, place.found.column);
                let owner = owners.entry(place.tag.clone()).or_insert_with(|| position.clone());
                if *owner != position {
                    let problem = format!("[{}] is two places: {owner}, {position}", place.tag);
                    report.problems.push(problem);
                }
            }
        }
        for spare in &self.spares {
            if !places.iter().any(|place| spare.names(&place.tag)) {
                report.problems.push(format!("the spare {} names nothing that was met", spare.tag));
            }
        }
        places.sort_by(|a, b| {
            (&a.found.file, a.found.line, &a.tag).cmp(&(&b.found.file, b.found.line, &b.tag))
        });
    }

    /// Runs every twin.
    fn run_twins(&self, places: &[MetPlace], report: &mut Report) {
        // For an ordering the smallest first: many make any of them fail.
        let cheap_first = |models: &[usize]| {
            let mut models = models.to_vec();
            models.sort_by_key(|model| report.models[*model].executions);
            models
        };
        let all_models: Vec<usize> = (0..self.models.len()).collect();
        let weakened = places
            .iter()
            .map(|place| (Twin::Weakened(place.found.id.clone()), cheap_first(&place.models)));
        let seeds = self.seeds.iter().filter(|_| !deep::is_asked_for());
        let seeded = seeds.map(|seed| (Twin::Seeded(seed.name.to_owned()), all_models.clone()));
        let jobs: Vec<(Twin, Vec<usize>)> = weakened.chain(seeded).collect();
        let expected = |twin: &Twin| match twin {
            Twin::Seeded(name) => self.seeds.iter().find(|seed| seed.name == *name),
            _ => None,
        };
        let mut results = in_parallel(&jobs, |(twin, models)| {
            self.try_twin(twin, models, expected(twin).map_or("", |seed| seed.expected))
        });
        let seeded = results.split_off(places.len());

        for (place, tried) in places.iter().zip(results) {
            let spare = self.spare_of(place);
            let verdict = match (tried.fate, spare) {
                (Fate::Failed(_), None) => Verdict::Needed,
                (Fate::Failed(message), Some(_)) => Verdict::NotSpare(message),
                (Fate::Held(_), Some(spare)) => Verdict::Spare(spare.why),
                (Fate::Held(_), None) => Verdict::Survived,
                (other, _) => Verdict::Unknown(other.excuse(deep::limit(self))),
            };
            report.push(Row {
                tag: place.tag.clone(),
                position: place.position.clone(),
                function: place.function.clone(),
                operation: place.found.operation.clone(),
                ordering: place.found.ordering.clone(),
                by: tried.model.map(|model| self.models[model].name),
                seconds: tried.seconds,
                verdict,
            });
        }
        for (seed, tried) in self.seeds.iter().zip(seeded) {
            let verdict = match tried.fate {
                Fate::Failed(message) if message.contains(seed.expected) => Verdict::Needed,
                Fate::Failed(message) => Verdict::Unknown(format!(
                    "fails, but not with \"{}\": {message}",
                    seed.expected
                )),
                Fate::Held(_) => Verdict::Survived,
                other => Verdict::Unknown(other.excuse(deep::limit(self))),
            };
            report.push(Row {
                tag: seed.name.to_owned(),
                position: String::new(),
                function: String::new(),
                operation: "seeded bug".to_owned(),
                ordering: String::new(),
                by: tried.model.map(|model| self.models[model].name),
                seconds: tried.seconds,
                verdict,
            });
        }
    }

    fn spare_of(&self, place: &MetPlace) -> Option<&Spare> {
        self.spares.iter().find(|spare| spare.names(&place.tag))
    }

    /// One twin of one model after the other, until one fails as expected.
    fn try_twin(&self, twin: &Twin, models: &[usize], expected: &str) -> Tried {
        let mut seconds = 0.0;
        let mut undecided = None;
        for &model in models {
            let outcome = self.spawn(model, twin.clone());
            seconds += outcome.seconds;
            match outcome.fate {
                Fate::Held(_) => {}
                Fate::Failed(message) if message.contains(expected) => {
                    let fate = Fate::Failed(message);
                    return Tried { fate, model: Some(model), seconds };
                }
                other => undecided = Some((other, model)),
            }
        }
        match undecided {
            Some((fate, model)) => Tried { fate, model: Some(model), seconds },
            None => Tried { fate: Fate::Held(Found::default()), model: None, seconds },
        }
    }

    /// Runs a model that fails once more, slowly, so that loom can say where.
    fn locate(&self, model: usize) -> Option<String> {
        let order = Order { model, twin: Twin::None, locations: true };
        match limited(|| child::spawn(self, &order)).fate {
            Fate::Failed(message) => Some(message),
            _ => None,
        }
    }

    fn spawn(&self, model: usize, twin: Twin) -> Outcome {
        let order = Order { model, twin, locations: false };
        limited(|| child::spawn(self, &order))
    }
}

impl Spare {
    /// `[tag]`, `tag` or `file:line`; what names no half stands for both.
    fn names(&self, tag: &str) -> bool {
        let own = self.tag.replace(['[', ']'], "");
        match tag.strip_prefix(own.as_str()) {
            Some("") => true,
            Some(half) => ["/acquire", "/release"].contains(&half),
            None => false,
        }
    }
}

/// A place, the models that met it, and how it is called.
#[derive(Debug)]
struct MetPlace {
    found: child::Met,
    models: Vec<usize>,
    tag: String,
    position: String,
    function: String,
}

impl MetPlace {
    fn new(found: child::Met) -> MetPlace {
        let [tag, position, function] = [const { String::new() }; 3];
        MetPlace { found, models: Vec::new(), tag, position, function }
    }

    /// `[tag]`, `[tag]/acquire`, or a file.
    fn is_in(&self, what: &str) -> bool {
        let (file, _) = self.position.split_once(':').unwrap_or_default();
        let (base, part) = self.tag.split_once('/').unwrap_or((&self.tag, ""));
        file == what || format!("[{base}]") == what || format!("[{base}]/{part}") == what
    }
}

/// What became of a twin.
struct Tried {
    fate: Fate,
    /// The model that decided it.
    model: Option<usize>,
    seconds: f64,
}

/// Runs `work` for each of the jobs, the results in the same order.
fn in_parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(jobs.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..JOBS.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let Some((index, job)) = queue.lock().unwrap().next() else {
                        return;
                    };
                    let result = work(job);
                    done.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Never more than [`JOBS`] of these at once, whatever the number of tests.
fn limited<R>(work: impl FnOnce() -> R) -> R {
    static RUNNING: Mutex<usize> = Mutex::new(0);
    static ONE_LESS: Condvar = Condvar::new();

    let running = RUNNING.lock().unwrap();
    *ONE_LESS.wait_while(running, |running| *running >= JOBS).unwrap() += 1;
    let result = work();
    *RUNNING.lock().unwrap() -= 1;
    ONE_LESS.notify_one();
    result
}
