//! `ORDERINGS.md`: each ordering in the sources, and which model fails without it.
//!
//! The table is written by `write_the_tables`, which makes every proof in a child process and
//! collects what each has found. It is held in two ways: each proof compares its own rows, and
//! [`every_ordering_is_met_or_explained`] looks whether the sources have an ordering that is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::report::{Report, Verdict};
use super::source::{Site, absolute, sites};
use super::unmet::UNMET;

const TABLE: &str = "loom-tests/ORDERINGS.md";

/// In a child of `write_the_tables`: the folder in which each proof leaves its rows.
const RECORD: &str = "FILCH_PROOF_RECORD";

const HEAD: &str = "\
# Every ordering, and what fails without it

Written by `cargo test -p loom-tests -- --ignored write_the_tables`; a test compares it with the sources,
and each proof with what it finds. An ordering goes by its tag in the source. A row is a twin: this one
operation, or this half of it, made `Relaxed` (a `SeqCst` fence: `AcqRel`), the first model of a proof that
fails then, and the proof, which is a test in `src/proofs.rs`. \"not in\": that one meets it, too, and holds
without.

";

const NEVER: &str = "
# Orderings that nothing makes fail, and why they stay

An ordering is explained here, never weakened because a tool stayed silent.

";

const COLUMNS: &str = "| ordering | operation | where | without it fails |\n|---|---|---|---|\n";

/// Begins what is said of an ordering that a proof meets and does not need.
const SPARE: &str = "(not in ";

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    file: String,
    function: String,
    tag: String,
    operation: String,
}

impl Line {
    fn start(&self) -> String {
        let Line { file, function, tag, operation } = self;
        let (base, part) = tag.split_once('/').unwrap_or((tag, ""));
        let space = if part.is_empty() { "" } else { " " };
        format!("| `[{base}]`{space}{part} | {operation} | {file}: `{function}` | ")
    }
}

/// What this proof has found out about the orderings of the sources.
fn lines(report: &Report) -> impl Iterator<Item = (Line, String)> {
    report.rows.iter().filter_map(|row| {
        let (file, _) = row.position.split_once(':')?;
        if !file.starts_with("runtime/src/") && !file.starts_with("timer/src/") {
            return None;
        }
        let operation = format!("{} {}", row.operation, row.ordering);
        let line = Line {
            file: file.to_owned(),
            function: row.function.clone(),
            tag: row.tag.clone(),
            operation,
        };
        let found = match (&row.verdict, row.by) {
            (Verdict::Needed, Some(by)) => format!("{by}, by `{}`", report.test()),
            (Verdict::Spare(why), _) => format!("{SPARE}`{}`: {why})", report.test()),
            _ => return None,
        };
        Some((line, found))
    })
}

/// Leaves the rows for `write_the_tables`, or compares them with what that has written.
pub(super) fn record_or_compare(report: &mut Report) {
    if let Some(folder) = env::var_os(RECORD) {
        let mut text = String::new();
        for (line, found) in lines(report) {
            let Line { file, function, tag, operation } = line;
            writeln!(text, "{file}\t{function}\t{tag}\t{operation}\t{found}").unwrap();
        }
        let place = Path::new(&folder).join(report.test());
        fs::write(place, text).expect("the rows can be written down");
        return;
    }
    let table = fs::read_to_string(absolute(TABLE)).unwrap_or_default();
    let mine = report.test();
    let mut missing = Vec::new();
    for (line, found) in lines(report) {
        let start = line.start();
        let known = table.lines().find(|known| known.starts_with(&start));
        if !known.is_some_and(|known| known.contains(&found)) {
            missing.push(format!("{TABLE} does not say: {start}{found}"));
        }
    }
    let rows = lines(report).count();
    let (needed, spare) = (format!(", by `{mine}`"), format!("{SPARE}`{mine}`: "));
    let known = table.matches(&needed).count() + table.matches(&spare).count();
    if missing.is_empty() && rows != known {
        missing.push(format!("{TABLE} has {known} entries of `{mine}`, which has found {rows}"));
    }
    if !missing.is_empty() {
        missing
            .push("write it anew: cargo test -p loom-tests -- --ignored write_the_tables".into());
    }
    report.problems.append(&mut missing);
}

/// Makes all proofs, and writes down what they found.
#[test]
#[ignore = "writes ORDERINGS.md"]
fn write_the_tables() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proofs");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["runtime::", "timer::", "--test-threads=2"])
        .env(RECORD, &folder)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "not all of them are proofs");

    let mut found = BTreeMap::<Line, BTreeSet<String>>::new();
    for entry in fs::read_dir(&folder).unwrap() {
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [file, function, tag, operation, what] = fields[..] else { panic!("{line}") };
            let [file, function, tag, operation] =
                [file, function, tag, operation].map(str::to_owned);
            let line = Line { file, function, tag, operation };
            found.entry(line).or_default().insert(what.to_owned());
        }
    }
    let row = |(line, found): (Line, BTreeSet<String>)| {
        let found: Vec<String> = found.into_iter().collect();
        format!("{}{} |\n", line.start(), found.join("; "))
    };
    let is_needed = |found: &BTreeSet<String>| found.iter().any(|what| !what.starts_with(SPARE));
    let (needed, spare): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(_, found)| is_needed(found));
    let unmet = sites().into_iter().filter_map(|site| {
        let (why, Site { tag, file, function, .. }) = (explanation(&site)?, &site);
        Some(format!("| `[{}]` | | {file}: `{function}` | {why} |\n", tag.as_deref()?))
    });
    let mut text = format!("{HEAD}{COLUMNS}");
    text.extend(needed.into_iter().map(row));
    write!(text, "{NEVER}{COLUMNS}").unwrap();
    text.extend(spare.into_iter().map(row).chain(unmet));
    fs::write(absolute(TABLE), text).unwrap();
}

fn explanation(site: &Site) -> Option<&'static str> {
    let tag = site.tag.as_deref()?;
    UNMET.iter().find(|(unmet, _)| *unmet == tag).map(|(_, why)| *why)
}

/// Whoever writes an ordering into the runtime or the timer says by a tag which one it is, and
/// shows by a model what it is for.
#[test]
fn every_ordering_is_met_or_explained() {
    let table = fs::read_to_string(absolute(TABLE)).expect("the table is there");
    let mut problems = Vec::new();
    let mut parts = BTreeMap::<(String, String, String), usize>::new();
    for site in sites() {
        let place = format!("{}:{}, `{}`", site.file, site.line, site.function);
        let Some(tag) = site.tag.clone() else {
            problems.push(format!("{place}: an ordering without a tag"));
            continue;
        };
        *parts.entry((tag.clone(), site.file.clone(), site.function.clone())).or_default() +=
            site.parts;
        if explanation(&site).is_some() {
            continue;
        }
        let place_in_table = format!("| {}: `{}` |", site.file, site.function);
        let start = format!("| `[{tag}]`");
        let row = |line: &&str| line.starts_with(&start) && line.contains(&place_in_table);
        // (Both a `compare_exchange`'s orderings stand in one line, with one tag.)
        let rows = table.lines().filter(row).count();
        if rows != site.parts {
            problems.push(format!(
                "{place}: [{tag}] has {} orderings, and {rows} rows in {TABLE}: write a model that \
                 fails without it, or say in `unmet.rs` why there is none",
                site.parts
            ));
        }
    }
    let tags: Vec<&str> = parts.keys().map(|(tag, ..)| tag.as_str()).collect();
    for pair in tags.windows(2) {
        if pair[0] == pair[1] {
            problems.push(format!("[{}] is two places", pair[0]));
        }
    }
    for (tag, why) in UNMET {
        if !tags.contains(tag) {
            problems.push(format!("unmet.rs explains [{tag}], which is not in the sources"));
        }
        let start = format!("| `[{tag}]` | ");
        if !table.lines().any(|line| line.starts_with(&start) && line.contains(why)) {
            problems.push(format!("{TABLE} does not have what unmet.rs says of [{tag}]"));
        }
    }
    assert!(tags.len() > 40, "only {} orderings were found", tags.len());
    assert!(problems.is_empty(), "{problems:#?}");
}
