//! How latencies are spread: for each contender, how many take longer than so long, both axes logarithmic. A median says nothing of the
//! one request in a thousand that somebody waits for.

use crate::curves::{Line, Panel, Point};
use crate::harness::{Figures, Measured};
use crate::report::{short, show};
use crate::stats::{median, tail_shares};
use crate::workload::Unit;

/// What is drawn, in this order: waking up, timers, sockets, computing beside sockets. All others have their percentiles in the table.
const DRAWN: [&str; 8] = [
    "idle wake → body",
    "100,000 sleeps",
    "light load, 500 tasks",
    "light load, 500 tasks + 200 µs",
    "echo, 50 connections",
    "echo, 1,000 connections",
    "beside 8 jobs",
    "beside 64 jobs",
];

/// One for each of [`DRAWN`] that was measured.
pub(crate) fn panels(measured: &[Measured]) -> Vec<Panel> {
    let find = |name: &&str| measured.iter().find(|workload| workload.name == *name);
    let panels = DRAWN.iter().filter_map(find).map(|workload| Panel {
        title: workload.name.to_owned(),
        x_label: "so long, or longer".to_owned(),
        x_show: |nanos| show(nanos, Unit::Nanoseconds),
        y_show: |share| format!("{} %", short(100.0 * share)),
        lines: workload.contenders.iter().map(line).collect(),
    });
    panels.filter(|panel| panel.lines.iter().any(|line| !line.points.is_empty())).collect()
}

/// For each share the median of the rounds.
fn line(figures: &Figures) -> Line {
    let at = |(index, share): (usize, f64)| {
        let rounds = figures.tails.iter().filter_map(|tail| tail.get(index).copied());
        let rounds: Vec<_> = rounds.filter(|value| value.is_finite()).collect();
        let value = median(&rounds);
        (value > 0.0).then_some(Point { x: value, y: share, range: None })
    };
    Line {
        name: figures.contender.to_owned(),
        points: tail_shares().enumerate().filter_map(at).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves;
    use crate::report::tests::measured;
    use crate::stats::tail;
    use crate::workload::Metric;
    use crate::workloads;

    #[test]
    fn what_is_drawn_exists() {
        let names: Vec<_> = workloads::all().iter().map(|entry| entry.name).collect();
        assert!(DRAWN.iter().all(|name| names.contains(name)), "{names:?}");
    }

    #[test]
    fn rounds_are_drawn_as_their_median() {
        let mut wakes = measured(DRAWN[0], vec![Metric::time()], &[1.0], &[1.0]);
        let round = |first: i32| tail(&(first..first + 100).map(f64::from).collect::<Vec<_>>());
        wakes.contenders[0].tails = vec![round(1_000), round(3_000), round(2_000)];
        let panels = panels(&[wakes]);
        let points = &panels[0].lines[0].points;
        assert_eq!((points[0].x, points[0].y), (2_000.0, 1.0));
        // One in a hundred, and nothing that is seldomer than there are values.
        assert_eq!(points.len(), 21);
        assert!(panels[0].lines[1].points.is_empty());
        let svg = curves::svg("tails", &panels).unwrap();
        assert!(svg.contains("100 %") && svg.contains(DRAWN[0]), "{svg}");
    }
}
