//! The table, and the file it goes into.

use std::fmt::Write as _;

use crate::harness::Measured;
use crate::others::Language;
use crate::stats::{median, range};
use crate::verdict;
use crate::workload::{FILCH, Metric, Reading, TOKIO, Unit, floor};
use crate::workloads::Derived;

/// The columns of figures.
pub(crate) const CONTENDERS: [&str; 3] = [FILCH, TOKIO, "async-executor"];

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) metric: Metric,
    /// Median over the rounds for each of [`CONTENDERS`] that took part.
    pub(crate) figures: [Option<f64>; CONTENDERS.len()],
    pub(crate) ratio: Option<Ratio>,
    /// How many times better than each contender but the first, whatever the reading is: every figure is the smaller the better.
    pub(crate) better: [Option<Ratio>; CONTENDERS.len() - 1],
    /// The metric's goal, as it is for this number of workers.
    pub(crate) goal: Option<f64>,
    /// The share of tokio's figure that nothing may fall under, if there is such a rule for this number of workers.
    floor: Option<f64>,
}

/// The ratios of all rounds in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

impl Ratio {
    fn of(ratios: &[f64]) -> Option<Ratio> {
        let (min, max) = range(ratios);
        let median = median(ratios);
        median.is_finite().then_some(Ratio { median, min, max, rounds: ratios.len() })
    }
}

/// One row for each metric.
pub(crate) fn rows(measured: &[Measured], workers: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in measured {
        for (index, &metric) in workload.metrics.iter().enumerate() {
            let mut contenders = CONTENDERS;
            if metric.between != [FILCH, TOKIO] {
                // The name says who they are.
                contenders = [metric.between[0], metric.between[1], ""];
            }
            let rounds = contenders.map(|name| workload.rounds(name, index));
            rows.push(Row::new(workload.name, metric, rounds, workers));
        }
    }
    rows
}

/// The row of a figure that follows from two workloads, if both were measured.
pub(crate) fn derived_row(derived: &Derived, measured: &[Measured], workers: usize) -> Option<Row> {
    let find = |name| measured.iter().find(|workload| workload.name == name);
    let (dividend, divisor) = (find(derived.dividend)?, find(derived.divisor)?);
    let quotients = CONTENDERS.map(|name| {
        let (dividends, divisors) = (dividend.rounds(name, 0)?, divisor.rounds(name, 0)?);
        Some(dividends.iter().zip(divisors).map(|(a, b)| a / b).collect::<Vec<_>>())
    });
    let rounds = quotients.each_ref().map(Option::as_deref);
    Some(Row::new(derived.name, derived.metric, rounds, workers))
}

impl Row {
    fn new(
        workload: &str,
        metric: Metric,
        rounds: [Option<&[f64]>; CONTENDERS.len()],
        workers: usize,
    ) -> Row {
        let name = match metric.name {
            "" => workload.to_owned(),
            metric => format!("{workload}: {metric}"),
        };
        let [filch, tokio, other] = rounds;
        let compared = |reading: Reading, with: Option<&[f64]>| {
            let rounds = filch?.iter().zip(with?);
            let ratios: Vec<_> =
                rounds.map(|(&filch, &other)| reading.ratio(filch, other)).collect();
            Ratio::of(&ratios)
        };
        Row {
            name,
            metric,
            figures: rounds.map(|rounds| rounds.map(median)),
            ratio: compared(metric.reading, tokio),
            better: [tokio, other].map(|other| compared(Reading::Speedup, other)),
            goal: metric.goal.map(|goal| metric.reading.goal_for(goal, workers)),
            floor: floor(workers),
        }
    }

    fn cells(&self) -> Vec<String> {
        let reading = self.metric.reading;
        let mut cells = vec![self.name.clone()];
        cells.extend(
            self.figures.map(|figure| cell(figure, |figure| show(figure, self.metric.unit))),
        );
        let plain = |ratio| match reading {
            Reading::Itself => show(ratio, self.metric.unit),
            Reading::Speedup | Reading::Share => short(ratio),
        };
        cells.push(cell(self.ratio, |ratio| match reading {
            Reading::Speedup => format!("{} ×", plain(ratio.median)),
            Reading::Share => format!("{} of", plain(ratio.median)),
            Reading::Itself => plain(ratio.median),
        }));
        cells.push(cell(self.ratio, |ratio| format!("{}–{}", plain(ratio.min), plain(ratio.max))));
        cells.push(self.goal_cell());
        cells.extend(self.floor.map(|floor| self.floor_cell(floor)));
        cells
    }

    /// Whether the row keeps to the floor; empty if it is not compared with tokio.
    fn floor_cell(&self, floor: f64) -> String {
        let times = self.ratio.and_then(|ratio| self.metric.reading.times_better(ratio.median));
        match times {
            Some(times) if self.metric.between == [FILCH, TOKIO] => {
                if times >= floor { "✓" } else { "✗" }.to_owned()
            }
            _ => String::new(),
        }
    }

    fn goal_cell(&self) -> String {
        let Some(goal) = self.goal else { return String::new() };
        let sign = match self.metric.reading {
            Reading::Speedup => "≥",
            Reading::Share | Reading::Itself => "≤",
        };
        let verdict = match self.ratio {
            None => "",
            Some(ratio) if self.metric.reading.reaches(ratio.median, goal) => " ✓",
            Some(_) => " ✗",
        };
        let goal = match self.metric.reading {
            Reading::Itself => show(goal, self.metric.unit),
            Reading::Speedup | Reading::Share => short(goal),
        };
        format!("{sign} {goal}{verdict}")
    }
}

/// The whole table in Markdown, its columns aligned for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let [filch, tokio, other] = CONTENDERS;
    let mut head =
        ["workload", filch, tokio, other, "ratio", "range", "goal"].map(str::to_owned).to_vec();
    head.extend(
        rows.first().and_then(|row| row.floor).map(|floor| format!("≥ {floor} of {tokio}")),
    );
    let body: Vec<_> = rows.iter().map(Row::cells).collect();
    markdown(&head, &body)
}

/// filch beside other languages: as measured in this run, else the figures that were taken once; empty if none of `rows` has any.
pub(crate) fn elsewhere(rows: &[Row], measured: &[Language]) -> String {
    const THIS_RUN: &str = "this run";
    const ONCE: &str = "once, on the machine of the goals";
    let mut body = Vec::new();
    for row in rows {
        let filch = row.figures[0];
        let now = measured.iter().filter_map(|language| {
            Some((language.name.as_str(), language.figure(&row.name)?, THIS_RUN))
        });
        // "Go 1.19" was measured again if any Go was.
        let again = |language: &str| {
            let kind = language.split(' ').next().unwrap_or(language);
            measured.iter().any(|now| now.name.starts_with(kind))
        };
        let once = row.metric.elsewhere.iter().filter(|(language, _)| !again(language));
        let once = once.map(|(language, figure)| (*language, *figure, ONCE));
        for (language, figure, when) in now.chain(once) {
            body.push(vec![
                row.name.clone(),
                cell(filch, |filch| show(filch, row.metric.unit)),
                format!("{language}: {}", show(figure, row.metric.unit)),
                cell(filch, |filch| format!("{} ×", short(figure / filch))),
                cell(filch, |filch| if filch < figure { "✓" } else { "✗" }.to_owned()),
                when.to_owned(),
            ]);
        }
    }
    if body.is_empty() {
        return String::new();
    }
    let head = ["workload", FILCH, "elsewhere", "ratio", "ahead", "measured"];
    markdown(&head.map(str::to_owned), &body)
}

pub(crate) fn markdown(head: &[String], body: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = body.iter().map(|row| &row[column]).chain([&head[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut line = String::from("|");
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let (before, after) = match (column, width - cell.chars().count()) {
                (0, padding) => (0, padding),
                (_, padding) => (padding, 0),
            };
            let _ = write!(line, " {:before$}{cell}{:after$} |", "", "");
        }
        line + "\n"
    };
    let mut text = line(head);
    text.push('|');
    for (column, width) in widths.iter().enumerate() {
        let end = if column == 0 { '-' } else { ':' };
        let _ = write!(text, "-{}{end}|", "-".repeat(*width));
    }
    text.push('\n');
    body.iter().for_each(|row| text.push_str(&line(row)));
    text
}

pub(crate) fn cell<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// A figure with its unit.
pub(crate) fn show(figure: f64, unit: Unit) -> String {
    if figure.is_nan() {
        return "–".to_owned();
    }
    let (figure, unit) = match unit {
        Unit::Bytes => (figure, " B"),
        Unit::Times => (figure, ""),
        Unit::PerSecond if figure > 1e6 => (1e9 / figure, " /s"),
        Unit::PerSecond => (1e6 / figure, " k/s"),
        Unit::Nanoseconds if figure < 1e3 => (figure, " ns"),
        Unit::Nanoseconds if figure < 1e6 => (figure / 1e3, " µs"),
        Unit::Nanoseconds => (figure / 1e6, " ms"),
    };
    format!("{}{unit}", short(figure))
}

/// Three digits say all there is.
pub(crate) fn short(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.0995 || size == 0.0 => 2,
        size if size >= 0.00995 => 3,
        size if size >= 0.000995 => 4,
        _ => 5,
    };
    let text = format!("{number:.digits$}");
    match text.split_once('.') {
        Some((whole, "0" | "00")) => whole.to_owned(),
        _ => text,
    }
}

/// Between these two lines RESULTS.md is written by hand.
const NOTES_BEGIN: &str = "<!-- notes: what stands between these two lines is kept -->";
const NOTES_END: &str = "<!-- end of notes -->";

/// What RESULTS.md is made of.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) command: &'a str,
    /// Names and values.
    pub(crate) machine: &'a [(String, String)],
    pub(crate) rounds: usize,
    pub(crate) workers: usize,
    pub(crate) rows: &'a [Row],
    pub(crate) languages: &'a [Language],
    /// Names of workloads, and what they do.
    pub(crate) abouts: &'a [(&'static str, &'static str)],
    /// File name of the plot.
    pub(crate) plot: &'a str,
    /// File name of the picture of latencies, if there are any.
    pub(crate) tails: Option<&'a str>,
    /// The file as it was, with notes to keep.
    pub(crate) previous: Option<&'a str>,
}

impl Document<'_> {
    pub(crate) fn render(&self) -> String {
        let Document { command, rounds, workers, plot, .. } = self;
        let mut text = format!(
            "# Results\n\n\
             Written by the command below; only the notes are by hand. How it is measured and how to read it: \
             [src/lib.rs](src/lib.rs).\n\n\
             ```text\n{command}\n```\n\n"
        );
        for (name, value) in self.machine {
            let _ = writeln!(text, "- {name}: {value}");
        }
        let _ = writeln!(
            text,
            "\n{workers} workers each; the contenders in turn, at least {rounds} rounds; figures are medians, *ratio* is the \
             median of the ratios within the rounds, *range* the smallest and the largest. `×`: tokio's figure over filch's, the \
             larger the better. `of`: filch's figure as a share of tokio's, the smaller the better. Differences under 15 % are noise.\n"
        );
        text.push_str(&table(self.rows));
        let _ = writeln!(text, "\n![How many times better than tokio]({plot})\n");
        if let Some(tails) = self.tails {
            let _ = writeln!(
                text,
                "How long it takes, and how many take longer:\n\n![How many take longer]({tails})\n"
            );
        }
        text.push_str(&verdict::section(self.rows));
        text.push_str(&notes(self.previous));
        text.push_str("## The workloads\n\n");
        for (name, about) in self.abouts {
            let _ = writeln!(text, "- **{name}**: {about}.");
        }
        let elsewhere = elsewhere(self.rows, self.languages);
        if !elsewhere.is_empty() {
            let _ = writeln!(
                text,
                "\n## Other languages\n\n\
                 The programs are in [others](others). What was not installed has the figures that were taken once, on the 2-core \
                 machine the goals are from.\n\n{elsewhere}"
            );
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

/// The section that is written by hand, as it was.
pub(crate) fn notes(previous: Option<&str>) -> String {
    let kept = previous.and_then(|text| {
        let (_, rest) = text.split_once(NOTES_BEGIN)?;
        let (notes, _) = rest.split_once(NOTES_END)?;
        Some(notes.trim_matches('\n'))
    });
    format!("## Notes\n\n{NOTES_BEGIN}\n{}\n{NOTES_END}\n\n", kept.unwrap_or("None yet."))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::harness::Figures;
    use crate::others::tests::language;
    use crate::workloads::FAIRNESS;

    pub(crate) fn measured(
        name: &'static str,
        metrics: Vec<Metric>,
        filch: &[f64],
        tokio: &[f64],
    ) -> Measured {
        let figures = |contender, rounds: &[f64]| Figures {
            contender,
            by_metric: vec![rounds.to_vec(); metrics.len()],
            tails: Vec::new(),
        };
        let contenders = vec![figures(FILCH, filch), figures(TOKIO, tokio)];
        Measured { name, about: "", metrics, contenders }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians() {
        let metrics = vec![Metric::time().goal(4.0), Metric::share("CPU").goal(0.2)];
        let rows = rows(&[measured("w", metrics, &[10.0, 20.0, 40.0], &[90.0, 80.0, 40.0])], 2);
        assert_eq!(rows[0].ratio, Some(Ratio { median: 4.0, min: 1.0, max: 9.0, rounds: 3 }));
        assert_eq!(rows[1].ratio.unwrap().median, 0.25);
        assert_eq!(rows[0].cells(), ["w", "20 ns", "80 ns", "–", "4 ×", "1–9", "≥ 4 ✓"]);
        assert_eq!(rows[1].cells()[4..], ["0.25 of", "0.11–1", "≤ 0.20 ✗"].map(str::to_owned));
    }

    #[test]
    fn fairness_is_a_quotient_of_two_workloads() {
        let slow = measured(FAIRNESS.dividend, vec![Metric::time()], &[30.0], &[900.0]);
        let fast = measured(FAIRNESS.divisor, vec![Metric::time()], &[10.0], &[9.0]);
        let row = derived_row(&FAIRNESS, &[slow, fast.clone()], 2).unwrap();
        assert_eq!(row.cells()[1..], ["3", "100", "–", "3", "3–3", "≤ 4 ✓"].map(str::to_owned));
        assert!(derived_row(&FAIRNESS, &[fast], 2).is_none());
    }

    #[test]
    fn without_filch_there_is_no_ratio() {
        let mut only_tokio = measured("w", vec![Metric::time().goal(2.0)], &[1.0], &[1.0]);
        only_tokio.contenders.remove(0);
        let rows = rows(&[only_tokio], 2);
        assert_eq!(rows[0].cells(), ["w", "–", "1 ns", "–", "–", "–", "≥ 2"]);
        assert!(table(&rows).starts_with("| workload |"));
    }

    #[test]
    fn figures_have_units_and_three_digits() {
        let ns = |figure| show(figure, Unit::Nanoseconds);
        assert_eq!(ns(7.123), "7.12 ns");
        assert_eq!(ns(75.26), "75.3 ns");
        assert_eq!(ns(999.4), "999 ns");
        assert_eq!(ns(3_210.0), "3.21 µs");
        assert_eq!(ns(4_000_000.0), "4 ms");
        assert_eq!(ns(f64::NAN), "–");
        assert_eq!(show(155.4, Unit::Bytes), "155 B");
        assert_eq!(show(8_000.0, Unit::PerSecond), "125 k/s");
        assert_eq!(show(2e6, Unit::PerSecond), "500 /s");
    }

    #[test]
    fn what_is_measured_now_takes_the_place_of_what_was_measured_once() {
        let metric = Metric::time().elsewhere(&[("Go 1.19", 400.0), ("asyncio", 7000.0)]);
        let rows = rows(&[measured("spawn + join 10k", vec![metric], &[100.0], &[400.0])], 2);
        let table = elsewhere(&rows, &[language("Go 1.99", 50.0)]);
        assert!(table.contains("Go 1.99: 50 ns") && !table.contains("Go 1.19"), "{table}");
        assert!(table.contains("asyncio: 7 µs") && table.contains("once"), "{table}");
        let go = table.lines().find(|line| line.contains("Go")).unwrap();
        assert!(go.contains("0.50 ×") && go.contains('✗') && go.contains("this run"), "{go}");
    }

    #[test]
    fn notes_by_hand_survive() {
        let rows = rows(&[measured("w", vec![Metric::time()], &[1.0], &[2.0])], 2);
        let document = |previous| Document {
            command: "cargo bench",
            machine: &[],
            rounds: 7,
            workers: 2,
            rows: &rows,
            languages: &[],
            abouts: &[("w", "nothing")],
            plot: "RESULTS.svg",
            tails: None,
            previous,
        };
        let first = document(None).render();
        assert!(first.contains("2 ×"));
        let by_hand = first.replace("None yet.", "Measured on a Monday.\n\nIt rained.");
        let second = document(Some(&by_hand)).render();
        assert_eq!(second, by_hand);
    }
}
