//! Runs a program, notes when each of its lines arrives, and compares that with a timetable.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long after the full second (or half, if the timetable counts those) a line may arrive. It may never arrive before.
const TOLERANCE: Duration = Duration::from_millis(350);

/// How much longer than its timetable a program may live.
const GRACE: Duration = Duration::from_secs(2);

/// How much longer than its timetable a program may live before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program and what it should print: in which second of its life (or which other unit), and which line.
///
/// Times in a line are written as `X` (printed in the first second), `X+1`, `X+2`, …; dates as `DATE`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) path: &'static str,
    pub(crate) timetable: &'static [(u64, &'static str)],
    /// What the timetable counts.
    pub(crate) unit: Duration,
}

/// Whether the lines of one second may come in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Exact,
    WithinSeconds,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) lines: Vec<Line>,
    pub(crate) stderr: String,
    pub(crate) total: Duration,
    /// None if it had to be killed.
    pub(crate) status: Option<ExitStatus>,
}

#[derive(Debug)]
pub(crate) struct Line {
    /// Since the program was started.
    pub(crate) offset: Duration,
    /// Since the epoch.
    pub(crate) clock: Duration,
    pub(crate) text: String,
}

impl Program {
    fn name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or(self.path)
    }

    fn duration(&self) -> Duration {
        let last = self.timetable.iter().map(|(number, _)| *number).max().unwrap_or(0);
        self.unit * u32::try_from(last).expect("no program runs that long")
    }

    /// Runs the program to its end, or until patience runs out.
    pub(crate) fn run(&self, workers: usize) -> io::Result<Run> {
        let start = Instant::now();
        let mut child = KillOnDrop(
            Command::new(self.path)
                .env("FILCH_WORKER_THREADS", workers.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?,
        );
        let stdout = child.0.stdout.take().expect("stdout is piped");
        let mut stderr = child.0.stderr.take().expect("stderr is piped");
        thread::scope(|scope| {
            let lines = scope.spawn(move || {
                let line = |text: io::Result<String>| {
                    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
                    let clock = clock.expect("it is after 1970");
                    text.map(|text| Line { offset: start.elapsed(), clock, text })
                };
                BufReader::new(stdout).lines().map(line).collect::<io::Result<Vec<_>>>()
            });
            let stderr = scope.spawn(move || {
                let mut text = Vec::new();
                stderr.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
            });
            let status = child.wait_until(start + self.duration() + PATIENCE)?;
            let total = start.elapsed();
            // Both readers end now: the program's ends of the pipes are closed.
            drop(child);
            let lines = lines.join().expect("the reader does not panic")?;
            let stderr = stderr.join().expect("the reader does not panic")?;
            Ok(Run { lines, stderr, total, status })
        })
    }

    /// Whether all that differs may come from a busy machine: a line may be late then, and a worker that gets no processor
    /// in the middle of a poll is helped out by a spare one, so that even with one worker lines of one instant may swap. But
    /// no line is early, none is missing, and the program ends well.
    pub(crate) fn may_be_delayed(&self, run: &Run) -> bool {
        let mut lines = self.timetable.iter().zip(&run.lines);
        run.status.is_some_and(|status| status.success())
            && run.stderr.is_empty()
            && run.total >= self.duration()
            && run.lines.len() == self.timetable.len()
            && lines.all(|((number, _), line)| u64::from(line.number(self.unit)) >= *number)
    }

    /// Compares a run with the timetable; the error shows all that differs.
    pub(crate) fn compare(&self, run: &Run, order: Order) -> Result<(), String> {
        let mut expected: Vec<(u64, String)> =
            self.timetable.iter().map(|(second, text)| (*second, (*text).to_owned())).collect();
        let mut actual: Vec<(u64, String)> =
            run.lines.iter().map(|line| line.normalized(self.unit)).collect();
        if order == Order::WithinSeconds {
            expected.sort();
            actual.sort();
        }

        let mut problems = String::new();
        if expected != actual {
            let _ = writeln!(problems, "lines (- expected, + printed):");
            problems += &diff(&show(&expected, self.unit), &show(&actual, self.unit));
        }
        for line in run.lines.iter().filter(|line| line.lateness(self.unit) > TOLERANCE) {
            let _ = writeln!(
                problems,
                "{:?} came after {:.3} s: that is no multiple of {:?}, with a tolerance of {TOLERANCE:?}",
                line.text,
                line.offset.as_secs_f64(),
                self.unit
            );
        }
        let allowed = self.duration()..=self.duration() + GRACE;
        if !allowed.contains(&run.total) {
            let _ = writeln!(problems, "it lived {:.3?}, which is not in {allowed:?}", run.total);
        }
        match run.status {
            Some(status) if status.success() => {}
            Some(status) => _ = writeln!(problems, "it failed: {status}"),
            None => problems += "it did not end and was killed\n",
        }
        if !run.stderr.is_empty() {
            let _ = writeln!(problems, "stderr:\n{}", run.stderr.trim_end());
        }
        if problems.is_empty() {
            return Ok(());
        }
        problems += "what it printed, and when:\n";
        for line in &run.lines {
            let _ = writeln!(problems, "  {:7.3} s  {}", line.offset.as_secs_f64(), line.text);
        }
        Err(format!("{}:\n{problems}", self.name()))
    }
}

/// How often a program is run before what differs is its own fault, and not that of a machine that is busy.
const TRIES: u32 = 10;

/// Runs all programs at the same time, as they mostly sleep, and panics with everything that differs.
pub(crate) fn check_all(programs: &[Program], workers: usize, order: Order) {
    let check_once = |program: &Program| match program.run(workers) {
        Ok(run) => {
            program.compare(&run, order).map_err(|text| (text, program.may_be_delayed(&run)))
        }
        Err(error) => Err((format!("{}: cannot be run: {error}", program.name()), false)),
    };
    let check = |program: &Program| {
        let mut tries = 1;
        loop {
            match check_once(program) {
                Err((_, true)) if tries < TRIES => tries += 1,
                result => return result.map_err(|(text, _)| text),
            }
        }
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = programs.iter().map(|p| scope.spawn(move || check(p))).collect();
        runs.into_iter()
            .filter_map(|run| run.join().expect("a check does not panic").err())
            .collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {} programs differ with {workers} worker(s)\n\n{}",
        failures.len(),
        programs.len(),
        failures.join("\n")
    );
}

impl Line {
    fn lateness(&self, unit: Duration) -> Duration {
        self.offset - unit * self.number(unit)
    }

    /// The second (or other unit) it arrived in.
    fn number(&self, unit: Duration) -> u32 {
        u32::try_from(self.offset.as_nanos() / unit.as_nanos()).expect("no program runs that long")
    }

    /// The second (or other unit) it arrived in, and its text with `X` for the times in it.
    fn normalized(&self, unit: Duration) -> (u64, String) {
        let second = self.offset.as_secs();
        let words = self.text.split(' ').map(|word| {
            if matches_shape(word, "0000-00-00") {
                "DATE".to_owned()
            } else if self.is_time_of_arrival(word) {
                if second == 0 { "X".to_owned() } else { format!("X+{second}") }
            } else {
                word.to_owned()
            }
        });
        (self.number(unit).into(), words.collect::<Vec<_>>().join(" "))
    }

    /// Whether `word` is the time `12:34:56` (or `12:34:56.789012`) at which the line was printed. As the time zone is
    /// the program's affair, only its seconds are compared; and the line was printed a little before it arrived.
    fn is_time_of_arrival(&self, word: &str) -> bool {
        if !matches_shape(word, "00:00:00") && !matches_shape(word, "00:00:00.000000") {
            return false;
        }
        let printed: u64 = word[6..8].parse().expect("these are two digits");
        let (latest, earliest) = (self.clock, self.clock - TOLERANCE);
        printed == latest.as_secs() % 60 || printed == earliest.as_secs() % 60
    }
}

/// Whether `text` is `shape`, with any digit for each `0`.
fn matches_shape(text: &str, shape: &str) -> bool {
    let same = |(a, b): (u8, u8)| if b == b'0' { a.is_ascii_digit() } else { a == b };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(same)
}

fn show(lines: &[(u64, String)], unit: Duration) -> Vec<String> {
    let seconds = |number: u64| number as f64 * unit.as_secs_f64();
    lines.iter().map(|(number, text)| format!("{} s  {text}", seconds(*number))).collect()
}

/// The lines of both, each marked with where it stands.
fn diff(expected: &[String], actual: &[String]) -> String {
    // common[i][j]: how many lines expected[i..] and actual[j..] have in common, in this order.
    let mut common = vec![vec![0; actual.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..actual.len()).rev() {
            common[i][j] = if expected[i] == actual[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < expected.len() || j < actual.len() {
        let both_left = i < expected.len() && j < actual.len();
        let (mark, line) = if both_left && expected[i] == actual[j] {
            (i, j) = (i + 1, j + 1);
            (' ', &expected[i - 1])
        } else if j == actual.len() || (both_left && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', &expected[i - 1])
        } else {
            j += 1;
            ('+', &actual[j - 1])
        };
        let _ = writeln!(text, "  {mark} {line}");
    }
    text
}

/// Ends with its owner, whatever happens.
struct KillOnDrop(Child);

impl KillOnDrop {
    /// None if the program still runs at the deadline.
    fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail if it has ended, which is the usual case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
