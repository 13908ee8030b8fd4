//! The ratios as a picture: one bar for each row, how many times better than tokio, on a logarithmic axis.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::Row;

const REACHED: RGBColor = RGBColor(0x2a, 0x78, 0x8e);
const MISSED: RGBColor = RGBColor(0xd9, 0x7b, 0x29);
const NO_GOAL: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const TEXT: RGBColor = RGBColor(0x30, 0x36, 0x3d);
const LINES: RGBColor = RGBColor(0xd8, 0xde, 0xe4);

const ROW_HEIGHT: u32 = 22;
const NAMES_WIDTH: u32 = 330;
const WIDTH: u32 = 1000;
const FONT: &str = "sans-serif";

/// A row as it is drawn: everything as "times better than tokio".
struct Bar<'a> {
    name: &'a str,
    times: f64,
    low: f64,
    high: f64,
    goal: Option<f64>,
    color: RGBColor,
}

impl Bar<'_> {
    /// None: nothing to compare.
    fn of(row: &Row) -> Option<Bar<'_>> {
        let ratio = row.ratio?;
        let reading = row.metric.reading;
        let times = reading.times_better(ratio.median)?;
        let ends = [reading.times_better(ratio.min)?, reading.times_better(ratio.max)?];
        let color = match row.goal {
            None => NO_GOAL,
            Some(goal) if reading.reaches(ratio.median, goal) => REACHED,
            Some(_) => MISSED,
        };
        let bar = Bar {
            name: &row.name,
            times,
            low: ends[0].min(ends[1]),
            high: ends[0].max(ends[1]),
            goal: row.goal.and_then(|goal| reading.times_better(goal)),
            color,
        };
        [bar.low, bar.times, bar.high]
            .iter()
            .all(|end| end.is_finite() && *end > 0.0)
            .then_some(bar)
    }
}

/// The picture as SVG; None if no row has a ratio.
pub(crate) fn svg(rows: &[Row], title: &str) -> Result<Option<String>, Box<dyn Error>> {
    let bars: Vec<_> = rows.iter().filter_map(Bar::of).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let ends = |bar: &Bar<'_>| [bar.low, bar.high, bar.goal.unwrap_or(1.0)];
    let smallest = bars.iter().flat_map(ends).fold(0.5, f64::min);
    let largest = bars.iter().flat_map(ends).fold(2.0, f64::max);

    let height = ROW_HEIGHT * bars.len() as u32 + 110;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let label = (FONT, 16).into_font().color(&TEXT);
        let beside = label.pos(Pos::new(HPos::Right, VPos::Center));
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 22).into_font().color(&TEXT))
            .margin(10)
            .margin_right(40)
            .x_label_area_size(45)
            .y_label_area_size(NAMES_WIDTH)
            .build_cartesian_2d(
                (smallest * 0.9..largest * 1.15).log_scale(),
                bars.len() as f64..0.0,
            )?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc(
                "times better than tokio. bar: median, whisker: range, tick: goal (blue: reached, orange: missed)",
            )
            .x_label_formatter(&|times| format!("{times}"))
            .label_style(label.clone())
            .axis_style(LINES)
            .bold_line_style(LINES)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (index, bar) in bars.iter().enumerate() {
            let (top, middle, bottom) =
                (index as f64 + 0.2, index as f64 + 0.5, index as f64 + 0.8);
            let (_, y) = chart.backend_coord(&(1.0, middle));
            root.draw(&Text::new(bar.name, (NAMES_WIDTH as i32, y), beside.clone()))?;
            let body = [(1.0, top), (bar.times, bottom)];
            chart.draw_series([Rectangle::new(body, bar.color.filled())])?;
            let whisker = vec![(bar.low, middle), (bar.high, middle)];
            chart.draw_series([PathElement::new(whisker, TEXT)])?;
            if let Some(goal) = bar.goal {
                let tick = vec![(goal, index as f64 + 0.05), (goal, index as f64 + 0.95)];
                chart.draw_series([PathElement::new(tick, BLACK.stroke_width(2))])?;
            }
        }
        let even = vec![(1.0, 0.0), (1.0, bars.len() as f64)];
        chart.draw_series([PathElement::new(even, TEXT)])?;
        root.present()?;
    }
    Ok(Some(svg))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows;
    use crate::report::tests::measured;
    use crate::workload::Metric;

    #[test]
    fn every_row_with_a_ratio_is_drawn() {
        let rows = rows(
            &[
                measured("spawn", vec![Metric::time().goal(4.0)], &[10.0, 11.0], &[50.0, 40.0]),
                measured("sleeps", vec![Metric::share("CPU").goal(0.5)], &[7.0], &[10.0]),
                measured("nothing told", vec![Metric::share("CPU")], &[f64::NAN], &[f64::NAN]),
            ],
            2,
        );
        let svg = svg(&rows, "a title").unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["a title", "spawn", "sleeps: CPU", "times better than tokio"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("nothing told"));
    }

    #[test]
    fn without_ratios_there_is_no_picture() {
        assert!(svg(&[], "a title").unwrap().is_none());
    }
}
