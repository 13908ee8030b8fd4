//! Compares counts with those of `baseline.txt`, or makes them the baseline.
//!
//! ```text
//! filch-counts judge FOLDER     FOLDER: where gungraun has left what callgrind wrote, a folder for each operation
//! filch-counts accept FOLDER
//! ```
//!
//! Exit status: 1 if an operation takes more than 5 % more instructions than in the baseline (or there is one without a
//! baseline, or a baseline without one), 3 if that cannot be said because the baseline was made by other tools. The
//! table is printed in any case.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use filch_counts::ROUNDS;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");
/// Up to this ratio an operation is as it was. Two runs of the same program differ by less than 1 %.
const TOLERATED: f64 = 1.05;

type Failure = Box<dyn Error>;

/// Instructions for one round of each operation, and what they depend on besides the sources.
#[derive(Debug, PartialEq)]
struct Counts {
    tools: Vec<String>,
    operations: BTreeMap<String, f64>,
}

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [what, folder] = &arguments[..] else {
        return Err("usage: filch-counts judge|accept FOLDER".into());
    };
    let now = Counts { tools: tools()?, operations: measured(Path::new(folder))? };
    if what == "accept" {
        fs::write(BASELINE, now.to_text())?;
        println!("{BASELINE} is written");
        return Ok(ExitCode::SUCCESS);
    }
    let baseline = Counts::from_text(&fs::read_to_string(BASELINE)?)?;
    let (table, failed) = compare(&baseline.operations, &now.operations);
    print!("{table}");
    if baseline.tools != now.tools {
        println!("\nthe baseline is of other tools, so this judges nothing:");
        println!("  baseline: {}\n  now:      {}", baseline.tools.join("; "), now.tools.join("; "));
        return Ok(ExitCode::from(3));
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nnot as in the baseline: {}", failed.join(", "));
    println!("if that is meant to be: `just counts-accept`, and say in the commit why");
    Ok(ExitCode::from(1))
}

/// Compiler, C library and valgrind: with other ones the same sources take other counts.
fn tools() -> Result<Vec<String>, Failure> {
    let first_line = |program: &str, arguments: &[&str]| -> Result<String, Failure> {
        let output = Command::new(program).args(arguments).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().next().unwrap_or("unknown").to_owned())
    };
    // The C library copies memory by what the processor can.
    let wide = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "));
    Ok(vec![
        first_line("rustc", &["--version"])?,
        format!("{} {}", env::consts::ARCH, if wide { "with AVX2" } else { "without AVX2" }),
        first_line("getconf", &["GNU_LIBC_VERSION"])?,
        first_line("valgrind", &["--version"])?,
    ])
}

/// Reads `FOLDER/OPERATION/callgrind.*.out`: a file for each thread.
fn measured(folder: &Path) -> Result<BTreeMap<String, f64>, Failure> {
    let mut operations = BTreeMap::new();
    for operation in fs::read_dir(folder)? {
        let operation = operation?;
        let mut instructions = 0;
        for file in fs::read_dir(operation.path())? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "out") {
                instructions += total(&fs::read_to_string(&file)?)
                    .ok_or_else(|| format!("{} has no total", file.display()))?;
            }
        }
        let name = operation.file_name().into_string().map_err(|_| "a name that is no text")?;
        if instructions == 0 {
            return Err(format!("{name}: nothing was counted").into());
        }
        operations.insert(name, instructions as f64 / ROUNDS as f64);
    }
    if operations.is_empty() {
        return Err(format!("{} is empty", folder.display()).into());
    }
    Ok(operations)
}

/// The instructions are the first event of callgrind's totals.
fn total(output: &str) -> Option<u64> {
    let totals = output.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    totals.split(' ').next()?.parse().ok()
}

/// The table, and the operations that are not as they were.
fn compare(baseline: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> (String, Vec<String>) {
    let mut table =
        format!("{:<22} {:>10} {:>10} {:>7}\n", "instructions", "now", "baseline", "ratio");
    let mut failed = Vec::new();
    let names: std::collections::BTreeSet<_> = baseline.keys().chain(now.keys()).collect();
    for name in names {
        let text =
            |count: Option<&f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
        let (then, now) = (baseline.get(name), now.get(name));
        let ratio = then.zip(now).map(|(then, now)| now / then);
        let note = match ratio {
            None => "MISSING",
            Some(ratio) if ratio > TOLERATED => "MORE",
            Some(ratio) if ratio < 1.0 / TOLERATED => "less",
            Some(_) => "",
        };
        if ratio.is_none_or(|ratio| ratio > TOLERATED) {
            failed.push(name.clone());
        }
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let line = format!("{name:<22} {:>10} {:>10} {ratio:>7}  {note}", text(now), text(then));
        writeln!(table, "{}", line.trim_end()).expect("a string takes everything");
    }
    (table, failed)
}

impl Counts {
    fn to_text(&self) -> String {
        let mut text = String::from(
            "# Instructions for one round of each operation of benches/counts.rs, by callgrind.\n\
             # `just counts` compares with them, `just counts-accept` writes this file.\n",
        );
        for tool in &self.tools {
            writeln!(text, "with {tool}").expect("a string takes everything");
        }
        for (name, count) in &self.operations {
            writeln!(text, "{name} {count:.1}").expect("a string takes everything");
        }
        text
    }

    fn from_text(text: &str) -> Result<Counts, Failure> {
        let mut counts = Counts { tools: Vec::new(), operations: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("with", tool)) => counts.tools.push(tool.to_owned()),
                Some((name, count)) => {
                    counts.operations.insert(name.to_owned(), count.parse()?);
                }
                None => return Err(format!("baseline.txt: what is {line:?}?").into()),
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(counts: &[(&str, f64)]) -> BTreeMap<String, f64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn five_percent_more_are_too_many() {
        let baseline = operations(&[("a", 100.0), ("b", 100.0), ("c", 100.0)]);
        let now = operations(&[("a", 104.9), ("b", 105.1), ("c", 10.0)]);
        let (table, failed) = compare(&baseline, &now);
        assert_eq!(failed, ["b"]);
        assert!(table.contains("1.051  MORE\n") && table.contains("0.100  less\n"), "{table}");
        assert!(table.contains("1.049\n"), "{table}");
    }

    #[test]
    fn an_operation_on_one_side_only_fails() {
        let (_, failed) = compare(&operations(&[("gone", 1.0)]), &operations(&[("new", 1.0)]));
        assert_eq!(failed, ["gone", "new"]);
    }

    #[test]
    fn the_baseline_reads_back() {
        let tools = vec!["rustc 1.95.0".to_owned(), "glibc 2.36".to_owned()];
        let counts = Counts { tools, operations: operations(&[("a", 1.5), ("b", 2000.0)]) };
        assert_eq!(Counts::from_text(&counts.to_text()).unwrap(), counts);
        assert!(Counts::from_text("garbage").is_err());
    }

    #[test]
    fn a_total_is_found() {
        assert_eq!(total("events: Ir Dr\nsummary: 1 2\n\ntotals: 1234 5\n"), Some(1234));
        assert_eq!(total("summary: 1 2\n"), None);
    }
}
