//! One run in a process of its own: the order to it, and what it found.

use std::env;
use std::io::{self, Read, Write};
use std::panic;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filch_loom_primitive::run::{self, Twin};

use super::{Proof, deep};

/// What a child is to run.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) model: usize,
    pub(super) twin: Twin,
    /// Let loom remember where everything happened, which is slow.
    pub(super) locations: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) fate: Fate,
    pub(super) seconds: f64,
}

#[derive(Debug)]
pub(super) enum Fate {
    /// Every execution was tried and none failed.
    Held(Found),
    /// An assertion of the model, or loom, has found something.
    Failed(String),
    OutOfTime,
    OutOfBranches,
    /// Anything else.
    Broken(String),
}

impl Fate {
    /// Why this decides nothing.
    pub(super) fn excuse(&self, limit: Duration) -> String {
        match self {
            Fate::OutOfTime => format!("is out of time (limit {limit:?})"),
            Fate::OutOfBranches => "is out of branches (an endless loop?)".to_owned(),
            Fate::Broken(how) => {
                format!("ends neither well nor by an assertion of the model: {how}")
            }
            Fate::Held(_) | Fate::Failed(_) => unreachable!("this decides it"),
        }
    }
}

/// What a run that held has seen.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) executions: u64,
    pub(super) met: Vec<Met>,
    pub(super) asked: Vec<String>,
    /// Which of the proof's whims came about.
    pub(super) whims: Vec<usize>,
}

/// A place, as told by a child.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) id: String,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) operation: String,
    pub(super) part: String,
    pub(super) ordering: String,
}

const MODEL: &str = "FILCH_PROOF_MODEL";
const WEAKENED: &str = "FILCH_PROOF_WEAKENED";
const SEEDED: &str = "FILCH_PROOF_SEEDED";
const LOCATIONS: &str = "FILCH_PROOF_LOCATIONS";

/// What a child has to say begins like this, since the test harness prints, too.
const MARK: &str = "@filch";
/// Between the fields of a line. (It is in no path and no message.)
const FIELD: char = '\u{1f}';

impl Order {
    /// In a child: its order.
    pub(super) fn from_environment() -> Option<Order> {
        let model = env::var(MODEL).ok()?.parse().expect("a number");
        let twin = match (env::var(WEAKENED), env::var(SEEDED)) {
            (Ok(id), _) => Twin::Weakened(id),
            (_, Ok(name)) => Twin::Seeded(name),
            _ => Twin::None,
        };
        Some(Order { model, twin, locations: env::var_os(LOCATIONS).is_some() })
    }

    fn to_environment(&self, command: &mut Command) {
        command.env(MODEL, self.model.to_string());
        match &self.twin {
            Twin::None => {}
            Twin::Weakened(id) => drop(command.env(WEAKENED, id)),
            Twin::Seeded(name) => drop(command.env(SEEDED, name)),
        }
        if self.locations {
            command.env(LOCATIONS, "1");
        }
    }
}

/// Starts this test again in a child and waits for what it finds.
pub(super) fn spawn(proof: &Proof, order: &Order) -> Outcome {
    let test = proof.test.as_str();
    let mut command = Command::new(env::current_exe().expect("a test binary has a path"));
    command
        .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Whatever the surroundings say, the limits are those of the code.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("LOOM_") {
            command.env_remove(name);
        }
    }
    command.env("RUST_BACKTRACE", "0");
    order.to_environment(&mut command);

    let limit = deep::limit(proof);
    let start = Instant::now();
    let mut child = command.spawn().expect("the test binary can be run");
    let out = drain(child.stdout.take().expect("piped"));
    let err = drain(child.stderr.take().expect("piped"));
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break Some(status);
        }
        if start.elapsed() >= limit {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
            break None;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    let out = out.join().expect("reads to the end");
    let err = err.join().expect("reads to the end");

    let fate = match status {
        None => Fate::OutOfTime,
        Some(status) => understand(proof, &out).unwrap_or_else(|| {
            let last: Vec<&str> = err.lines().rev().take(4).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Fate::Broken(format!("{status}; {}", last.join(" | ")))
        }),
    };
    Outcome { fate, seconds }
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // What was read before an error is all there is to say.
        let _ = from.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// `None` if the child did not come to an end that it knows.
fn understand(proof: &Proof, out: &str) -> Option<Fate> {
    let mut found = Found::default();
    for line in out.lines() {
        // The first line may follow something of the test harness's.
        let Some((_, line)) = line.split_once(MARK) else {
            continue;
        };
        let mut fields = line.split(FIELD).skip(1).map(str::to_owned);
        let kind = fields.next()?;
        match kind.as_str() {
            "met" => found.met.push(Met {
                id: fields.next()?,
                file: fields.next()?,
                line: fields.next()?.parse().ok()?,
                column: fields.next()?.parse().ok()?,
                operation: fields.next()?,
                part: fields.next()?,
                ordering: fields.next()?,
            }),
            "asked" => found.asked.push(fields.next()?),
            "whim" => found.whims.push(fields.next()?.parse().ok()?),
            "held" => {
                found.executions = fields.next()?.parse().ok()?;
                return Some(Fate::Held(found));
            }
            "panicked" => {
                let message = fields.next()?.replace("\\n", "\n");
                return Some(judge(proof, message));
            }
            _ => return None,
        }
    }
    None
}

/// What loom says when it has found something, as against when it gives up.
const FOUND_BY_LOOM: [&str; 7] = [
    "Causality violation",
    "deadlock; threads",
    "currently writing to cell",
    "currently reading from cell",
    "Arc leaked",
    "Allocation leaked",
    "Messages leaked",
];

fn judge(proof: &Proof, message: String) -> Fate {
    if message.contains("Model exceeded maximum number of branches") {
        return Fate::OutOfBranches;
    }
    let accepted = ["MODEL:"].iter().chain(&FOUND_BY_LOOM).chain(&proof.caught_by);
    for text in accepted {
        if message.contains(text) {
            return Fate::Failed(message);
        }
    }
    Fate::Broken(message)
}

/// In a child: runs what was ordered, says what came of it and ends the process.
pub(super) fn run(proof: &Proof, order: &Order) -> ! {
    // The first panic decides. It ends the process where it stands: unwinding through loom's
    // threads aborts, and the code under test may catch panics.
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        if message.contains("EXPECTED:") {
            return;
        }
        let location = info.location().map(|at| format!(" ({at})")).unwrap_or_default();
        say(&["panicked", &format!("{}{location}", message.trim()).replace('\n', "\\n")]);
        exit(101);
    }));

    let mut builder = loom::model::Builder::new();
    builder.max_branches = proof.branches;
    builder.preemption_bound = Some(deep::preemptions(proof, order.model));
    builder.location = order.locations;
    // The parent holds the clock: loom's own limits end a model as if it had been explored.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;
    builder.checkpoint_interval = usize::MAX;
    builder.log = false;

    let model = proof.models[order.model].run;
    let executions = Arc::new(AtomicU64::new(0));
    let whims = proof.whims.iter().enumerate().map(|(index, whim)| (Some(index), Some(*whim)));
    for (index, whim) in [(None, None)].into_iter().chain(whims) {
        run::begin(order.twin.clone(), whim);
        let executions = executions.clone();
        builder.check(move || {
            executions.fetch_add(1, Ordering::Relaxed);
            run::begin_execution();
            model();
        });
        if let (Some(index), true) = (index, run::whim_happened()) {
            say(&["whim", &index.to_string()]);
        }
    }

    for (place, ordering) in run::met() {
        say(&[
            "met",
            &place.id(),
            place.file,
            &place.line.to_string(),
            &place.column.to_string(),
            place.operation,
            &place.part.to_string(),
            &ordering,
        ]);
    }
    for name in run::asked() {
        say(&["asked", name]);
    }
    say(&["held", &executions.load(Ordering::Relaxed).to_string()]);
    exit(0);
}

fn say(fields: &[&str]) {
    let mut line = MARK.to_owned();
    for field in fields {
        line.push(FIELD);
        line.push_str(field);
    }
    line.push('\n');
    let mut out = io::stdout().lock();
    // A parent that does not listen any more has given up on this child.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
