//! What follows from the table: which goals are reached, and where filch is behind somebody. Written by the program, so that nobody
//! is tempted to leave a row out.

use std::fmt::Write as _;

use crate::report::{CONTENDERS, Ratio, Row, markdown, short, show};
use crate::workload::Reading;

/// What differs by less is noise here.
const NOISE: f64 = 0.15;

/// Both sections in Markdown; empty if there is nothing to compare with.
pub(crate) fn section(rows: &[Row]) -> String {
    if rows.iter().all(|row| row.better.iter().all(Option::is_none)) {
        return String::new();
    }
    format!("{}{}", goals(rows), losses(rows))
}

/// Every row that has a goal: the goal, now, the range in this run.
fn goals(rows: &[Row]) -> String {
    let mut reached = 0;
    let body: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let (goal, ratio) = (row.goal?, row.ratio?);
            let reading = row.metric.reading;
            let plain = |figure: f64| match reading {
                Reading::Itself => show(figure, row.metric.unit),
                Reading::Speedup | Reading::Share => short(figure),
            };
            let sign = if reading == Reading::Speedup { "≥" } else { "≤" };
            let verdict = if reading.reaches(ratio.median, goal) {
                reached += 1;
                // The whole range, or only its middle?
                let worst = if reading == Reading::Speedup { ratio.min } else { ratio.max };
                if reading.reaches(worst, goal) { "✓ in every round" } else { "✓" }.to_owned()
            } else {
                let far = match reading {
                    Reading::Speedup => ratio.median / goal,
                    Reading::Share | Reading::Itself => goal / ratio.median,
                };
                format!("✗ {} of it", short(far))
            };
            let range = format!("{}–{}", plain(ratio.min), plain(ratio.max));
            let goal = format!("{sign} {}", plain(goal));
            Some(vec![row.name.clone(), goal, plain(ratio.median), range, verdict])
        })
        .collect();
    if body.is_empty() {
        return String::new();
    }
    let head = ["workload", "goal", "now", "range", "reached"].map(str::to_owned);
    format!(
        "## The goals\n\n{reached} of {} are reached.\n\n{}\n",
        body.len(),
        markdown(&head, &body)
    )
}

/// Every row in which somebody else's figure is better than filch's.
fn losses(rows: &[Row]) -> String {
    let mut text = "## Where filch loses\n\n\
                    Every row whose median is behind somebody's, whatever it is compared for: *share* is that one's figure over \
                    filch's, 1 being even. *Shown*: in every round, and by more than noise. *Noise*: by less than 15 %, or \
                    not in every round, or \
                    there were fewer than three.\n\n"
        .to_owned();
    let mut body = Vec::new();
    for row in rows {
        let [tokio, other] = row.better;
        for (name, ratio) in [(row.metric.between[1], tokio), (CONTENDERS[2], other)] {
            let Some(ratio) = ratio.filter(|ratio| ratio.median < 1.0) else { continue };
            let range = format!("{}–{}", short(ratio.min), short(ratio.max));
            body.push(vec![
                row.name.clone(),
                name.to_owned(),
                short(ratio.median),
                range,
                weight(ratio).to_owned(),
            ]);
        }
    }
    if body.is_empty() {
        let _ = writeln!(text, "Nowhere in this run.\n");
        return text;
    }
    // What is certain first; the order of the table within.
    body.sort_by_key(|cells| cells[4] != SHOWN);
    let head = ["workload", "behind", "share", "range", ""].map(str::to_owned);
    let _ = writeln!(text, "{}", markdown(&head, &body));
    text
}

const SHOWN: &str = "shown";
/// A single round shows nothing.
const ENOUGH: usize = 3;

fn weight(ratio: Ratio) -> &'static str {
    let always = ratio.rounds >= ENOUGH && ratio.max < 1.0;
    if always && ratio.median < 1.0 / (1.0 + NOISE) { SHOWN } else { "noise" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows;
    use crate::report::tests::measured;
    use crate::workload::{FILCH, Metric};

    #[test]
    fn goals_have_a_line_each_with_how_far_it_is() {
        let metrics = vec![Metric::time().goal(4.0)];
        let far = measured("far", metrics.clone(), &[10.0, 10.0], &[20.0, 20.0]);
        let there = measured("there", metrics, &[10.0, 10.0, 10.0], &[39.0, 50.0, 50.0]);
        let share = vec![Metric::share("CPU").goal(0.5)];
        let safe = measured("safe", share, &[10.0], &[40.0]);
        let text = goals(&rows(&[far, there, safe], 2));
        assert!(text.contains("2 of 3 are reached"), "{text}");
        assert!(text.contains("✗ 0.50 of it"), "{text}");
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("there").trim_end_matches([' ', '|']).ends_with('✓'), "{text}");
        assert!(line("safe").contains("✓ in every round"), "{text}");
    }

    #[test]
    fn what_is_behind_is_listed_even_if_it_is_compared_with_nobody() {
        let behind = vec![Metric::share("CPU"), Metric::bytes("gone").itself()];
        let behind = measured("behind", behind, &[20.0, 22.0, 22.0], &[10.0, 10.0, 10.0]);
        let close = measured("close", vec![Metric::time()], &[10.0, 10.0], &[9.0, 9.0]);
        let once = measured("once", vec![Metric::time()], &[10.0], &[5.0]);
        let ahead = measured("ahead", vec![Metric::time()], &[10.0], &[11.0]);
        let text = losses(&rows(&[behind, close, once, ahead], 2));
        for (name, weight) in
            [("behind: CPU", SHOWN), ("behind: gone", SHOWN), ("close", "noise"), ("once", "noise")]
        {
            let line = text.lines().find(|line| line.contains(name)).expect(name);
            assert!(line.contains(weight), "{line}");
        }
        assert!(!text.contains("ahead"), "{text}");
        let nothing = rows(&[measured("w", vec![Metric::time()], &[1.0], &[2.0])], 2);
        assert!(losses(&nothing).contains("Nowhere"));
    }

    #[test]
    fn without_anybody_to_compare_with_there_is_no_section() {
        let mut alone = measured("w", vec![Metric::time().goal(2.0)], &[1.0], &[1.0]);
        alone.contenders.retain(|figures| figures.contender == FILCH);
        assert_eq!(section(&rows(&[alone], 2)), "");
    }
}
