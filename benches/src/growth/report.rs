//! GROWTH.md: a table and a panel for each figure.

use std::fmt::Write as _;

use super::{Asked, Grown, LIMIT};
use crate::curves::{Line, Panel, Point};
use crate::report::{cell, markdown, notes, short, show};
use crate::stats::{median, range};
use crate::{machine, workload::Unit};

/// What grows by less is flat.
const FLAT: f64 = 2.0;

/// The median, if the system told and the size is large enough to tell.
fn figure(rounds: &[f64]) -> Option<f64> {
    let median = median(rounds);
    median.is_finite().then_some(median)
}

/// Of something that grows: one table, a row for each size.
pub(super) fn tables(grown: &Grown) -> String {
    let growth = &grown.growth;
    let mut head = vec![growth.of.to_owned()];
    for (name, _) in growth.figures {
        head.extend(growth.contenders.iter().map(|runner| format!("{name}: {}", runner.contender)));
    }
    let columns = || {
        (0..growth.figures.len())
            .flat_map(|figure| (0..growth.contenders.len()).map(move |who| (figure, who)))
    };
    let at = |who: usize, size: usize, what: usize| figure(&grown.rounds[who][size][what]);
    let mut body = Vec::new();
    for (index, size) in growth.sizes.iter().enumerate() {
        let mut row = vec![grouped(*size)];
        row.extend(columns().map(|(what, who)| {
            cell(at(who, index, what), |value| show(value, growth.figures[what].1))
        }));
        body.push(row);
    }
    let mut last = vec!["largest / least".to_owned()];
    last.extend(columns().map(|(what, who)| {
        let figures = (0..growth.sizes.len()).filter_map(|size| at(who, size, what));
        cell(grows(figures), |factor| {
            format!("{}{}", short(factor), if factor < FLAT { ", flat" } else { "" })
        })
    }));
    body.push(last);
    let mut text = markdown(&head, &body);
    for what in &grown.left_out {
        let _ = writeln!(text, "\nLeft out: {what}.");
    }
    text
}

/// The figure of the largest size over the least of all.
fn grows(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let figures: Vec<_> = figures.collect();
    let (least, _) = range(&figures);
    figures.last().filter(|_| figures.len() > 1 && least > 0.0).map(|last| last / least)
}

/// 10000000 is hard to read.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One for each figure.
pub(super) fn panels(grown: &Grown) -> Vec<Panel> {
    let growth = &grown.growth;
    let panel = |(what, &(name, unit)): (usize, &(&str, Unit))| Panel {
        title: name.to_owned(),
        x_label: growth.of.to_owned(),
        x_show: |size| grouped(size.round() as usize),
        y_show: match unit {
            Unit::Bytes => |value| show(value, Unit::Bytes),
            _ => |value| show(value, Unit::Nanoseconds),
        },
        lines: growth
            .contenders
            .iter()
            .zip(&grown.rounds)
            .map(|(runner, rounds)| Line {
                name: runner.contender.to_owned(),
                points: growth
                    .sizes
                    .iter()
                    .zip(rounds)
                    .filter_map(|(&size, figures)| {
                        let y = figure(&figures[what])?;
                        let range = range(&figures[what]);
                        Some(Point { x: size as f64, y, range: Some(range) })
                    })
                    .collect(),
            })
            .collect(),
    };
    growth.figures.iter().enumerate().map(panel).collect()
}

/// The whole file.
pub(super) fn document(grown: &[Grown], asked: &Asked<'_>, previous: Option<&str>) -> String {
    let Asked { command, rounds, workers, .. } = asked;
    let mut text = format!(
        "# What more of it costs\n\n\
         Written by the command below; only the notes are by hand. How it is measured: [src/growth.rs](src/growth.rs).\n\n\
         ```text\n{command}\n```\n\n"
    );
    for (name, value) in machine::describe() {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let _ = writeln!(
        text,
        "\n{workers} workers each, where their number is not what grows; each point in a process of its own, the contenders in turn; medians of \
         {rounds} rounds, one from a million on; at most {} s for all. *Largest / least*: the figure of the largest size over the least \
         of all sizes; under {FLAT} it is called flat.\n\n\
         ![What more of it costs](GROWTH.svg)\n\n{}",
        LIMIT.as_secs(),
        notes(previous),
    );
    for grown in grown {
        let growth = &grown.growth;
        let _ = writeln!(text, "## {}\n\n{}.\n\n{}", growth.name, growth.about, tables(grown));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(10_000_000), "10,000,000");
    }

    #[test]
    fn what_grows_is_measured_from_its_least() {
        assert_eq!(grows([30.0, 10.0, 40.0].into_iter()), Some(4.0));
        assert_eq!(grows([30.0].into_iter()), None);
        assert_eq!(grows(std::iter::empty()), None);
    }
}
