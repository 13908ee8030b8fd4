//! The same workloads in other languages, where those are installed: `others/go`, `others/python`.
//!
//! They run after the table, in processes of their own, and not in turn with it: what is asked of them is whether filch is ahead, by a
//! multiple. What is not installed keeps the figures that were taken once, on the machine of the goals.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::HERE;

/// A language that takes longer is ended, and has no figures.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a program of others calls a workload, and the row that it belongs to.
const ROWS: [(&str, &str); 7] = [
    ("spawn-many", "spawn + join 10k"),
    ("spawn-one", "spawn + await one"),
    ("yield", "yield_many"),
    ("ping-pong", "channel, tachyonix"),
    ("wait-for", "timeout around a yield"),
    ("sleeps", "100,000 sleeps: CPU"),
    ("sleeping", "1,000,000 sleeping tasks: peak RSS per task"),
];

/// What one language reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Language {
    /// With its version.
    pub(crate) name: String,
    /// The row's name, and the figure in its unit.
    figures: Vec<(&'static str, f64)>,
}

impl Language {
    /// The figure for this row of the table.
    pub(crate) fn figure(&self, row: &str) -> Option<f64> {
        self.figures.iter().find(|(name, _)| *name == row).map(|(_, figure)| *figure)
    }

    fn parse(text: &str) -> Option<Language> {
        let mut language = Language { name: String::new(), figures: Vec::new() };
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            match ROWS.iter().find(|(name, _)| *name == key) {
                Some((_, row)) => language.figures.push((*row, value.parse().ok()?)),
                None if key == "language" => language.name = value.to_owned(),
                None => return None,
            }
        }
        (!language.name.is_empty() && language.figures.len() == ROWS.len()).then_some(language)
    }
}

/// Is there any row that others have figures for?
pub(crate) fn concerns(rows: &[&str]) -> bool {
    rows.iter().any(|row| ROWS.iter().any(|(_, name)| name == row))
}

/// Runs all that are installed, and says of the others why not.
pub(crate) fn measure(rounds: usize, workers: usize) -> Vec<Language> {
    let (rounds, workers) = (rounds.to_string(), workers.to_string());
    let python = Path::new(HERE).join("others/python");
    let script = python.join("workloads.py");
    let asyncio = |loop_: &[&str], interpreter: PathBuf| {
        let mut command = Command::new(interpreter);
        command.arg("-B").arg(&script).arg(&rounds).args(loop_);
        command
    };
    let languages: [(&str, io::Result<Command>); 3] = [
        (
            "Go",
            build_go().map(|program| {
                let mut command = Command::new(program);
                command.args([&rounds, &workers]);
                command
            }),
        ),
        ("asyncio", Ok(asyncio(&[], PathBuf::from("python3")))),
        ("uvloop", with_uvloop(&python).map(|interpreter| asyncio(&["uvloop"], interpreter))),
    ];
    let mut measured = Vec::new();
    for (name, command) in languages {
        eprintln!("[elsewhere] {name}");
        let answer = command.and_then(answer).and_then(|text| {
            Language::parse(&text).ok_or_else(|| io::Error::other(format!("it said {text:?}")))
        });
        match answer {
            Ok(language) => measured.push(language),
            Err(error) => eprintln!("  not measured: {error}"),
        }
    }
    measured
}

/// The program, built beside this one.
fn build_go() -> io::Result<PathBuf> {
    let exe = env::current_exe()?;
    let folder = exe.parent().ok_or(io::ErrorKind::NotFound)?.join("others-go");
    fs::create_dir_all(&folder)?;
    let program = folder.join("others");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&program).arg(".");
    command.current_dir(Path::new(HERE).join("others/go"));
    // It needs nothing from elsewhere.
    command.env("GOCACHE", folder.join("cache")).env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    answer(command)?;
    Ok(program)
}

/// An interpreter that has it: of a virtual environment beside the script (see README.md), or the usual one.
fn with_uvloop(python: &Path) -> io::Result<PathBuf> {
    for interpreter in [python.join(".venv/bin/python"), PathBuf::from("python3")] {
        let mut command = Command::new(&interpreter);
        command.args(["-c", "import uvloop"]).stderr(Stdio::null());
        if answer(command).is_ok() {
            return Ok(interpreter);
        }
    }
    Err(io::Error::other("no python3 has it"))
}

/// What a program says on stdout, if it ends well and in time.
fn answer(mut command: Command) -> io::Result<String> {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = process.stdout.take().expect("piped");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            process.kill()?;
            process.wait()?;
            return Err(io::Error::other(format!("took more than {} s", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(20));
    };
    let text = reader.join().expect("it does not panic")?;
    if status.success() { Ok(text) } else { Err(io::Error::other(format!("{status}"))) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::workloads;

    /// The same figure everywhere.
    pub(crate) fn language(name: &str, figure: f64) -> Language {
        let figures = ROWS.map(|(_, row)| (row, figure)).to_vec();
        Language { name: name.to_owned(), figures }
    }

    #[test]
    fn an_answer_is_whole_or_none() {
        let lines: Vec<_> = ROWS.iter().map(|(key, _)| format!("{key} 7.5")).collect();
        let text = format!("language Go 1.99\n{}\n", lines.join("\n"));
        assert_eq!(Language::parse(&text).unwrap(), language("Go 1.99", 7.5));
        assert!(Language::parse(&text.replace("yield 7.5\n", "")).is_none());
        assert!(Language::parse(&text.replace("yield 7.5", "yield ?")).is_none());
        assert!(Language::parse("").is_none());
    }

    #[test]
    fn every_row_is_in_the_table() {
        let rows: Vec<String> = workloads::all()
            .iter()
            .flat_map(|entry| {
                entry.metrics.iter().map(|metric| match metric.name {
                    "" => entry.name.to_owned(),
                    name => format!("{}: {name}", entry.name),
                })
            })
            .collect();
        for (_, row) in ROWS {
            assert!(rows.iter().any(|name| name == row), "{row}");
        }
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        assert!(concerns(&rows) && !concerns(&["no such row"]));
    }

    /// Their programs have a line for each key.
    #[test]
    fn the_programs_know_all_workloads() {
        for program in ["others/go/main.go", "others/python/workloads.py"] {
            let text = fs::read_to_string(Path::new(HERE).join(program)).unwrap();
            for (key, _) in ROWS {
                assert!(text.contains(&format!("(\"{key}\", ")), "{key} in {program}");
            }
        }
    }
}
