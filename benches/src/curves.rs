//! Curves: small pictures side by side, both axes logarithmic. Lines are told apart by colour and by mark, so that it does not take
//! colours to read them (these are Okabe and Ito's, which most colour-blind people can tell apart).

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const COLORS: [RGBColor; 5] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x00, 0x00, 0x00),
];
const TEXT: RGBColor = RGBColor(0x30, 0x36, 0x3d);
const LINES: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
const FONT: &str = "sans-serif";

const PANEL: (u32, u32) = (560, 340);
const HEAD: u32 = 80;

/// One picture.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) x_show: fn(f64) -> String,
    pub(crate) y_show: fn(f64) -> String,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Drawn as a whisker.
    pub(crate) range: Option<(f64, f64)>,
}

impl Panel {
    /// The names of its lines that have points a logarithmic axis can have.
    fn drawn(&self) -> impl Iterator<Item = (&str, Vec<Point>)> {
        self.lines.iter().map(|line| {
            let can = |point: &&Point| point.x > 0.0 && point.y > 0.0 && point.y.is_finite();
            (line.name.as_str(), line.points.iter().filter(can).copied().collect())
        })
    }
}

/// All panels, two in a row, and one legend.
pub(crate) fn svg(title: &str, panels: &[Panel]) -> Result<String, Box<dyn Error>> {
    let mut names: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    let rows = panels.len().div_ceil(2);
    let size = (2 * PANEL.0, HEAD + rows as u32 * PANEL.1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        head.draw(&Text::new(title, (20, 12), (FONT, 22).into_font().color(&TEXT)))?;
        for (index, name) in names.iter().enumerate() {
            let (x, y) = (30 + 215 * index as i32, 60);
            head.draw(&PathElement::new(
                vec![(x, y), (x + 36, y)],
                COLORS[index % COLORS.len()].stroke_width(2),
            ))?;
            head.draw(&mark(index, (x + 18, y)))?;
            let label = (FONT, 16).into_font().color(&TEXT).pos(Pos::new(HPos::Left, VPos::Center));
            head.draw(&Text::new(*name, (x + 44, y), label))?;
        }
        for (panel, area) in panels.iter().zip(body.split_evenly((rows, 2))) {
            draw(panel, &names, &root, &area)?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// A mark of its own for each line.
fn mark<'a, DB: DrawingBackend + 'a>(
    index: usize,
    at: (i32, i32),
) -> DynElement<'a, DB, (i32, i32)> {
    let color = COLORS[index % COLORS.len()];
    match index % COLORS.len() {
        0 => Circle::new(at, 4, color.filled()).into_dyn(),
        1 => TriangleMarker::new(at, 6, color.filled()).into_dyn(),
        2 => {
            Rectangle::new([(at.0 - 4, at.1 - 4), (at.0 + 4, at.1 + 4)], color.filled()).into_dyn()
        }
        3 => Circle::new(at, 4, color.stroke_width(2)).into_dyn(),
        _ => Cross::new(at, 4, color.stroke_width(2)).into_dyn(),
    }
}

fn draw<'a, DB: DrawingBackend + 'a>(
    panel: &Panel,
    names: &[&str],
    root: &DrawingArea<DB, plotters::coord::Shift>,
    area: &DrawingArea<DB, plotters::coord::Shift>,
) -> Result<(), Box<dyn Error>>
where
    DB::ErrorType: 'static,
{
    let points: Vec<_> = panel.drawn().flat_map(|(_, points)| points).collect();
    let caption = (FONT, 17).into_font().color(&TEXT);
    if points.is_empty() {
        area.draw(&Text::new(format!("{}: nothing to draw", panel.title), (20, 20), caption))?;
        return Ok(());
    }
    let ys = |point: &Point| {
        let (low, high) = point.range.unwrap_or((point.y, point.y));
        [point.y, low, high]
    };
    let (x_low, x_high) = ends(points.iter().map(|point| point.x));
    let (y_low, y_high) = ends(points.iter().flat_map(ys).filter(|y| *y > 0.0));
    // A flat curve is to look flat: at least two powers of ten are shown.
    let middle = (y_low * y_high).sqrt();
    let (y_low, y_high) = (y_low.min(middle / 10.0), y_high.max(middle * 10.0));
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, caption)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(
            (x_low / 1.15..x_high * 1.15).log_scale(),
            (y_low / 1.15..y_high * 1.15).log_scale(),
        )?;
    let label = (FONT, 13).into_font().color(&TEXT);
    chart
        .configure_mesh()
        .x_desc(&panel.x_label)
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(&|x| (panel.x_show)(*x))
        .y_label_formatter(&|y| (panel.y_show)(*y))
        .label_style(label)
        .axis_style(LINES)
        .bold_line_style(LINES)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (name, points) in panel.drawn() {
        let index = names.iter().position(|other| *other == name).unwrap_or(0);
        let color = COLORS[index % COLORS.len()];
        for (low, high, x) in
            points.iter().filter_map(|point| point.range.map(|(low, high)| (low, high, point.x)))
        {
            if low > 0.0 && high > low {
                chart.draw_series([PathElement::new(vec![(x, low), (x, high)], color)])?;
            }
        }
        let path: Vec<_> = points.iter().map(|point| (point.x, point.y)).collect();
        chart.draw_series([PathElement::new(path.clone(), color.stroke_width(2))])?;
        // Where lines have many points, a mark on each would be a band.
        let step = path.len().div_ceil(8).max(1);
        for at in path.iter().step_by(step) {
            root.draw(&mark(index, chart.backend_coord(at)))?;
        }
    }
    Ok(())
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(y: f64) -> Panel {
        let point = |x| Point { x, y, range: Some((y / 2.0, y * 2.0)) };
        let line =
            |name: &str| Line { name: name.to_owned(), points: vec![point(1.0), point(10.0)] };
        Panel {
            title: "a title".to_owned(),
            x_label: "things".to_owned(),
            x_show: |x| x.to_string(),
            y_show: |y| y.to_string(),
            lines: vec![line("this"), line("that")],
        }
    }

    #[test]
    fn panels_have_what_it_takes_to_read_them() {
        let svg = svg("all", &[panel(3.0), panel(f64::NAN)]).unwrap();
        for text in
            ["all", "a title", "things", "this", "that", "nothing to draw", "polygon", "circle"]
        {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
