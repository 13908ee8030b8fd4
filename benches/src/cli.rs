//! The command line.

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::ValueExt;

use crate::harness::{self, Measured};
use crate::others::{self, Language};
use crate::report::{self, Document};
use crate::workload::{Entry, Plan};
use crate::workloads;
use crate::{cores, curves, growth, machine, plot, served, service, tails, verdict};

const HELP: &str = "\
cargo bench -p filch-benches -- [OPTIONS] [FILTER]

  --filter SUBSTR  only workloads whose name contains SUBSTR
  --rounds N       rounds that count (7; some workloads do more)
  --workers N      worker threads of each contender (2)
  --growth         how costs grow with tasks, timers, workers, connections, instead of the table: at most six minutes, 6 GB
  --cores          a model of what stands in the way on 64 cores, instead of the table
  --quick          one tiny round of each: does it work?
  --under COMMAND  run the servers of the I/O workloads under that, for instance perf stat, or strace -c -f (in quotes)
  --list           names and descriptions
  --pictures DIR   draw what was measured there, as --write does for the whole table
  --write          rewrite benches/RESULTS.md and its plot (with N workers, N not 2: RESULTS-N.md; with
                   --growth: GROWTH.md, with --cores: CORES.md)
";

/// Ratios need at least so many rounds.
const ROUNDS: usize = 7;
/// Curves are read as a whole.
const GROWTH_ROUNDS: usize = 3;
/// The goals are for so many workers.
const WORKERS: usize = 2;

#[derive(Debug, PartialEq)]
struct Options {
    filter: Option<String>,
    rounds: Option<usize>,
    workers: usize,
    quick: bool,
    list: bool,
    help: bool,
    write: bool,
    /// Where to draw what was measured, be it the whole table or not.
    pictures: Option<PathBuf>,
    /// Workload and contender.
    child: Option<(String, String)>,
    /// How costs grow, instead of the table.
    growth: bool,
    /// The model of many cores, instead of the table.
    cores: bool,
    /// What grows, by whom, how large.
    point: Option<(String, String, usize)>,
    /// What to serve, and by which contender.
    serve: Option<(String, String)>,
    under: Option<String>,
}

impl Options {
    fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
        use lexopt::Arg::{Long, Short, Value};
        let mut options = Options {
            filter: None,
            rounds: None,
            workers: WORKERS,
            quick: false,
            list: false,
            help: false,
            write: false,
            pictures: None,
            child: None,
            growth: false,
            cores: false,
            point: None,
            serve: None,
            under: None,
        };
        let mut cargo_bench = false;
        let mut any = false;
        while let Some(arg) = parser.next()? {
            match arg {
                Long("bench") => cargo_bench = true,
                Long("test") => continue,
                Long("filter") => options.filter = Some(parser.value()?.string()?),
                Value(filter) => options.filter = Some(filter.string()?),
                Long("rounds") => options.rounds = Some(positive(&mut parser, "--rounds")?),
                Long("workers") => options.workers = positive(&mut parser, "--workers")?,
                Long("quick") => options.quick = true,
                Long("list") => options.list = true,
                Long("help") | Short('h') => options.help = true,
                Long("write") => options.write = true,
                Long("pictures") => options.pictures = Some(parser.value()?.into()),
                Long(harness::CHILD) => {
                    let workload = parser.value()?.string()?;
                    options.child = Some((workload, parser.value()?.string()?));
                }
                Long("growth") => options.growth = true,
                Long("cores") => options.cores = true,
                Long(growth::POINT) => {
                    let name = parser.value()?.string()?;
                    let contender = parser.value()?.string()?;
                    options.point = Some((name, contender, positive(&mut parser, growth::POINT)?));
                }
                Long(served::SERVE) => {
                    let service = parser.value()?.string()?;
                    options.serve = Some((service, parser.value()?.string()?));
                }
                Long("under") => options.under = Some(parser.value()?.string()?),
                other => return Err(other.unexpected()),
            }
            any = true;
        }
        // `cargo test --benches` says nothing at all: it only wants to know whether this works.
        options.quick |= !cargo_bench && !any;
        let partial = options.quick || options.filter.is_some() || options.under.is_some();
        if options.write && partial {
            return Err(
                "--write takes the whole table as it is: no --quick, no filter, no --under".into(),
            );
        }
        Ok(options)
    }

    fn plan(&self) -> Plan {
        if self.quick { Plan::quick(self.workers) } else { Plan::full(self.workers) }
    }

    /// At least as many as the workload wants, unless the user said otherwise.
    fn rounds_of(&self, entry: &Entry) -> usize {
        match (self.rounds, self.quick) {
            (Some(rounds), _) => rounds,
            (None, true) => 1,
            (None, false) => entry.min_rounds.max(ROUNDS),
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.filter.as_ref().is_none_or(|filter| entry.name.contains(filter.as_str()))
    }

    /// What to type to get this again.
    fn command(&self) -> String {
        let mut command = "cargo bench -p filch-benches -- --write".to_owned();
        if self.growth {
            command += " --growth";
        }
        if self.cores {
            command += " --cores";
        }
        if self.workers != WORKERS {
            command += &format!(" --workers {}", self.workers);
        }
        if let Some(rounds) = self.rounds {
            command += &format!(" --rounds {rounds}");
        }
        command
    }

    /// The results' file without its ending.
    fn stem(&self) -> String {
        match self.workers {
            WORKERS => "RESULTS".to_owned(),
            workers => format!("RESULTS-{workers}"),
        }
    }
}

fn positive(parser: &mut lexopt::Parser, option: &str) -> Result<usize, lexopt::Error> {
    match parser.value()?.parse()? {
        0 => Err(format!("{option} wants a number from 1").into()),
        number => Ok(number),
    }
}

pub(crate) fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if let Some((service, contender)) = &options.serve {
        let control = io::BufReader::new(io::stdin());
        let run = service::of(contender).ok_or("no such server")?;
        return Ok(run(
            service.parse()?,
            options.workers,
            Box::new(control),
            Box::new(io::stdout()),
        )?);
    }
    if let Some((name, contender, size)) = &options.point {
        let line =
            growth::be_child(name, contender, *size, options.workers).ok_or("no such point")?;
        println!("{line}");
        return Ok(());
    }
    machine::look_around();
    if options.growth && !options.help {
        return growth::run(&growth::Asked {
            filter: options.filter.as_deref(),
            rounds: options.rounds.unwrap_or(if options.quick { 1 } else { GROWTH_ROUNDS }),
            workers: options.workers,
            quick: options.quick,
            write: options.write,
            command: &options.command(),
        });
    }
    if options.cores && !options.help {
        return Ok(cores::run(options.write, &options.command())?);
    }
    let mut entries = workloads::all();
    if let Some((workload, contender)) = &options.child {
        let sample = harness::be_child(&entries, workload, contender, options.plan())
            .ok_or("no such workload or contender")?;
        println!("{sample}");
        return Ok(());
    }
    entries.retain(|entry| options.wants(entry));
    options.under.as_deref().into_iter().for_each(served::run_under);
    if options.help {
        print!("{HELP}");
        return Ok(());
    }
    if options.list {
        for entry in &entries {
            println!("{}: {}", entry.name, entry.about);
        }
        return Ok(());
    }
    if entries.is_empty() {
        return Err("no workload has such a name; --list shows them".into());
    }

    let measured = measure_all(&entries, options)?;
    let mut rows = report::rows(&measured, options.workers);
    rows.extend(report::derived_row(&workloads::FAIRNESS, &measured, options.workers));
    println!("{}", report::table(&rows));
    println!("{}", verdict::section(&rows));
    let languages = measure_others(options, &rows);
    println!("{}", report::elsewhere(&rows, &languages));
    if let Some(folder) = &options.pictures {
        fs::create_dir_all(folder)?;
        draw(folder, &options.stem(), &measured, &rows)?;
    }
    if options.write {
        write(options, &measured, &rows, &languages)?;
    }
    Ok(())
}

/// If there is anything to compare them with, and time.
fn measure_others(options: &Options, rows: &[report::Row]) -> Vec<Language> {
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    if options.quick || options.under.is_some() || !others::concerns(&names) {
        return Vec::new();
    }
    others::measure(options.rounds.unwrap_or(ROUNDS), options.workers)
}

fn measure_all(entries: &[Entry], options: &Options) -> io::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let rounds = options.rounds_of(entry);
        let mut progress =
            Progress::new(format!("[{}/{}] {}", index + 1, entries.len(), entry.name));
        measured.push(harness::measure(entry, options.plan(), rounds, |round| {
            progress.show(round, rounds);
        })?);
        progress.end();
    }
    Ok(measured)
}

/// A line on stderr: rewritten each round on a terminal, else said once.
struct Progress {
    workload: String,
    live: bool,
}

impl Progress {
    fn new(workload: String) -> Progress {
        let live = io::stderr().is_terminal();
        if !live {
            eprintln!("{workload}");
        }
        Progress { workload, live }
    }

    fn show(&mut self, round: usize, rounds: usize) {
        if self.live {
            eprint!("\r\x1b[K{}: round {round} of {rounds}", self.workload);
            let _ = io::stderr().flush();
        }
    }

    fn end(&mut self) {
        if self.live {
            eprintln!();
        }
    }
}

fn write(
    options: &Options,
    measured: &[Measured],
    rows: &[report::Row],
    languages: &[Language],
) -> Result<(), Box<dyn Error>> {
    let stem = options.stem();
    let plot_name = format!("{stem}.svg");
    let here = Path::new(machine::HERE);
    let table_path = here.join(format!("{stem}.md"));

    let mut abouts: Vec<_> =
        measured.iter().map(|workload| (workload.name, workload.about)).collect();
    abouts.push((workloads::FAIRNESS.name, workloads::FAIRNESS.about));
    let previous = fs::read_to_string(&table_path).ok();
    let tails_name = format!("{stem}-tails.svg");
    let panels = tails::panels(measured);
    let document = Document {
        command: &options.command(),
        machine: &machine::describe(),
        rounds: options.rounds.unwrap_or(ROUNDS),
        workers: options.workers,
        rows,
        languages,
        abouts: &abouts,
        plot: &plot_name,
        tails: (!panels.is_empty()).then_some(tails_name.as_str()),
        previous: previous.as_deref(),
    };
    fs::write(&table_path, document.render())?;
    draw(here, &stem, measured, rows)?;
    eprintln!("written: benches/{stem}.md, benches/{plot_name}");
    Ok(())
}

/// The ratios, and the tails if there are any.
fn draw(
    folder: &Path,
    stem: &str,
    measured: &[Measured],
    rows: &[report::Row],
) -> Result<(), Box<dyn Error>> {
    if let Some(svg) = plot::svg(rows, "filch against tokio")? {
        fs::write(folder.join(format!("{stem}.svg")), svg)?;
    }
    let panels = tails::panels(measured);
    if !panels.is_empty() {
        let svg = curves::svg("How long it takes, and how many take longer", &panels)?;
        fs::write(folder.join(format!("{stem}-tails.svg")), svg)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn cargo_bench_measures_and_cargo_test_only_looks() {
        assert!(!parse(&["--bench"]).unwrap().quick);
        assert!(!parse(&["--filter", "ping"]).unwrap().quick);
        assert!(parse(&[]).unwrap().quick);
        assert!(parse(&["--quick", "--bench"]).unwrap().quick);
    }

    #[test]
    fn arguments() {
        let options = parse(&["--bench", "--workers", "4", "--rounds=9", "spawn"]).unwrap();
        assert_eq!((options.workers, options.rounds), (4, Some(9)));
        assert_eq!(options.filter.as_deref(), Some("spawn"));
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--fast"]).is_err());
        let pictures = parse(&["--bench", "spawn", "--pictures", "there"]).unwrap().pictures;
        assert_eq!(pictures, Some(PathBuf::from("there")));
        assert!(parse(&["--write", "--bench", "spawn"]).is_err());
        assert!(parse(&["--child", "a b", "tokio"]).unwrap().child.is_some());
    }

    #[test]
    fn the_command_says_what_is_not_usual() {
        let usual = parse(&["--write"]).unwrap();
        assert_eq!(usual.command(), "cargo bench -p filch-benches -- --write");
        assert_eq!(usual.stem(), "RESULTS");
        let four = parse(&["--write", "--workers", "4"]).unwrap();
        assert!(four.command().ends_with("--write --workers 4"));
        let growth = parse(&["--write", "--growth"]).unwrap();
        assert!(growth.command().ends_with("--write --growth"));
        assert_eq!(four.stem(), "RESULTS-4");
    }
}
