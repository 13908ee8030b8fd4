//! What came of a proof, for people.

use std::fmt;

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    test: String,
    pub(super) models: Vec<Explored>,
    pub(crate) rows: Vec<Row>,
    /// Orderings that were met and are not what the proof is about.
    pub(super) left_out: usize,
    /// Empty if it is a proof.
    pub(crate) problems: Vec<String>,
    pub(super) seconds: f64,
}

/// A model that holds.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) name: &'static str,
    pub(super) preemptions: usize,
    pub(super) executions: u64,
    pub(super) seconds: f64,
}

/// One twin.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) tag: String,
    pub(super) position: String,
    pub(super) function: String,
    pub(super) operation: String,
    pub(super) ordering: String,
    pub(crate) verdict: Verdict,
    /// The model that decided it.
    pub(super) by: Option<&'static str>,
    pub(super) seconds: f64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The twin fails.
    Needed,
    /// The twin holds, as was said, and why that is right.
    Spare(&'static str),
    /// The twin holds, though nobody said so.
    Survived,
    /// It was said that the twin holds, but it fails.
    NotSpare(String),
    Unknown(String),
}

impl Report {
    pub(super) fn new(name: &'static str, test: String) -> Report {
        Report {
            name,
            test,
            models: Vec::new(),
            rows: Vec::new(),
            left_out: 0,
            problems: Vec::new(),
            seconds: 0.0,
        }
    }

    /// The function that makes the proof.
    pub(super) fn test(&self) -> &str {
        self.test.rsplit("::").next().unwrap_or_default()
    }

    pub(super) fn push(&mut self, row: Row) {
        let what = format!("{} {}", row.operation, row.tag);
        match &row.verdict {
            Verdict::Needed | Verdict::Spare(_) => {}
            Verdict::Survived => {
                self.problems.push(format!("{what} SURVIVED: no model here fails without it"));
            }
            Verdict::NotSpare(message) => {
                self.problems.push(format!("{what} is no spare; without it: {message}"));
            }
            Verdict::Unknown(excuse) => {
                self.problems.push(format!("{what}: the twin {excuse}"));
            }
        }
        self.rows.push(row);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:.1} s)", self.name, self.seconds)?;
        for Explored { name, preemptions, executions, seconds } in &self.models {
            let found = format!("{executions} executions in {seconds:.1} s");
            writeln!(f, "  model \"{name}\": {found} (preemptions \u{2264} {preemptions})")?;
        }
        let widths = self.rows.iter().fold([0; 4], |widths: [usize; 4], row| {
            let lengths = [&row.tag, &row.position, &row.operation, &row.ordering];
            std::array::from_fn(|i| widths[i].max(lengths[i].chars().count()))
        });
        for row in &self.rows {
            let [tag, position, operation, ordering] = widths;
            write!(
                f,
                "  {:tag$}  {:position$}  {:operation$}  {:ordering$}  {:6.1} s  ",
                row.tag, row.position, row.operation, row.ordering, row.seconds,
            )?;
            match &row.verdict {
                Verdict::Needed => write!(f, "needed")?,
                Verdict::Spare(why) => write!(f, "spare: {why}")?,
                Verdict::Survived => write!(f, "SURVIVED")?,
                Verdict::NotSpare(_) => write!(f, "NOT SPARE")?,
                Verdict::Unknown(_) => write!(f, "UNKNOWN")?,
            }
            match row.by {
                Some(by) if self.models.len() > 1 => writeln!(f, " (\"{by}\")")?,
                _ => writeln!(f)?,
            }
        }
        if self.left_out > 0 {
            writeln!(f, "  ({} orderings of other protocols as they are)", self.left_out)?;
        }
        for problem in &self.problems {
            writeln!(f, "  FAILED: {problem}")?;
        }
        Ok(())
    }
}
