//! Matrices and curves as SVG documents.

use std::fmt::Write;

use stormfire_metrics::picture::{Curves, Line, Matrix};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 560.0;
/// Space for names, at the left and below.
const MARGIN: f64 = 90.0;
const TOP: f64 = 24.0;
const COLORS: [&str; 8] = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"];
/// A larger matrix has no numbers in its cells.
const MAX_NUMBERED: usize = 20;
/// A legend with more lines does not fit.
const MAX_LEGEND: usize = 16;
/// The height of a line of the legend, and about the width of a letter.
const ROW: f64 = 16.0;
const LETTER: f64 = 7.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writing to a string does not fail.
macro_rules! add {
    ($svg:expr, $($format:tt)*) => { let _ = writeln!($svg, $($format)*); };
}

fn document(body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn axis_names(svg: &mut String, x: &str, y: &str) {
    let (middle_x, middle_y) = (f64::midpoint(MARGIN, WIDTH), f64::midpoint(TOP, HEIGHT - MARGIN));
    add!(svg, "<text x=\"{middle_x}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 10.0, escaped(x));
    add!(svg, "<text transform=\"translate(16 {middle_y}) rotate(-90)\" text-anchor=\"middle\">{}</text>", escaped(y));
}

/// A short number: counts as they are, shares with two digits.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || !value.is_finite() { value.to_string() } else { format!("{value:.2}") }
}

/// The starts of the names, but not more of them than there is room for.
fn shown(names: &[String]) -> impl Iterator<Item = (usize, String)> {
    let start = |(index, name): (usize, &String)| (index, escaped(&name.chars().take(10).collect::<String>()));
    names.iter().enumerate().step_by(names.len().div_ceil(MAX_NUMBERED).max(1)).map(start)
}

pub(super) fn matrix_svg(matrix: &Matrix) -> String {
    let mut svg = String::new();
    let (rows, columns) = (matrix.row_names.len().max(1), matrix.column_names.len().max(1));
    let (width, height) = ((WIDTH - MARGIN - 10.0) / columns as f64, (HEIGHT - MARGIN - TOP) / rows as f64);
    let largest = matrix.values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    for (row, values) in matrix.values.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            let (x, y) = (MARGIN + column as f64 * width, TOP + row as f64 * height);
            let share = if largest > 0.0 && value.is_finite() { value / largest } else { 0.0 };
            // From white to dark blue.
            let [red, green, blue] =
                [(255.0, 8.0), (255.0, 48.0), (255.0, 107.0)].map(|(light, dark)| (light + (dark - light) * share) as u8);
            add!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"rgb({red},{green},{blue})\" stroke=\"#ddd\"/>"
            );
            if rows.max(columns) <= MAX_NUMBERED {
                let ink = if share > 0.5 { "white" } else { "black" };
                let (x, y) = (x + width / 2.0, y + height / 2.0 + 4.0);
                add!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{}</text>", short(*value));
            }
        }
    }
    for (index, name) in shown(&matrix.row_names) {
        let y = TOP + (index as f64 + 0.5) * height + 4.0;
        add!(svg, "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>", MARGIN - 6.0);
    }
    for (index, name) in shown(&matrix.column_names) {
        let (x, below) = (MARGIN + (index as f64 + 0.5) * width, HEIGHT - MARGIN + 14.0);
        add!(svg, "<text transform=\"translate({x:.1} {below}) rotate(-45)\" text-anchor=\"end\">{name}</text>");
    }
    axis_names(&mut svg, &matrix.columns, &matrix.rows);
    document(&svg)
}

/// An axis from one tick to another.
struct Axis {
    /// The first and the last tick, in steps from 0.
    ticks: [f64; 2],
    step: f64,
}

impl Axis {
    /// From 0 to 1 for shares, else around the values.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)]);
        if low > high || (low >= 0.0 && high <= 1.0) {
            return Self { ticks: [0.0, 5.0], step: 0.2 };
        }
        let span = if high > low { high - low } else { high.abs() };
        let power = 10_f64.powf((span / 5.0).log10().floor());
        let step = power * [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= span / 5.0).unwrap_or(10.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        Self { ticks: [first, last.max(first + 1.0)], step }
    }

    /// Where a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let [first, last] = self.ticks;
        (value / self.step - first) / (last - first)
    }

    fn ends(&self) -> [f64; 2] {
        self.ticks.map(|tick| tick * self.step)
    }

    /// The ticks with their labels.
    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let ([first, last], step) = (self.ticks, self.step);
        // A rounded logarithm is not another decimal.
        let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
        (0..=(last - first) as u32).map(move |tick| {
            let value = (first + f64::from(tick)) * step;
            (value, format!("{value:.decimals$}"))
        })
    }
}

/// The names of the lines, in the corner of the plot where they cover least of the lines. `drawn`: the points of the
/// lines. `plot`: its left, top, right and bottom.
fn legend(svg: &mut String, lines: &[Line], drawn: &[Vec<(f64, f64)>], plot: [f64; 4]) {
    let [left, top, right, bottom] = plot;
    let named: Vec<_> = lines.iter().enumerate().take(MAX_LEGEND).filter(|(_, line)| !line.name.is_empty()).collect();
    let letters = named.iter().map(|(_, line)| line.name.chars().count()).max().unwrap_or(0);
    let (width, height) = (8.0 + LETTER * letters as f64, 8.0 + ROW * named.len() as f64);
    let covered = |(is_right, is_low): (bool, bool)| {
        let x = if is_right { right - width..=right } else { left..=left + width };
        let y = if is_low { bottom - height..=bottom } else { top..=top + height };
        let parts = drawn.iter().flat_map(|points| points.windows(2));
        // Points on the line from one point to the next.
        let on_lines = parts.flat_map(|ends| {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            (0..=8).map(move |part| (x0 + (x1 - x0) * f64::from(part) / 8.0, y0 + (y1 - y0) * f64::from(part) / 8.0))
        });
        on_lines.filter(|(at_x, at_y)| x.contains(at_x) && y.contains(at_y)).count()
    };
    let corners = [(true, false), (true, true), (false, true), (false, false)];
    let (is_right, is_low) = corners.into_iter().min_by_key(|corner| covered(*corner)).unwrap_or_default();
    let (x, anchor) = if is_right { (right - 8.0, "end") } else { (left + 8.0, "start") };
    let first = if is_low { bottom - height } else { top } + ROW;
    // Above the lines, and legible there.
    let style = format!("text-anchor=\"{anchor}\" stroke=\"white\" stroke-width=\"3\" paint-order=\"stroke\"");
    add!(svg, "<g transform=\"translate({x:.1} 0)\" {style}>");
    for (row, (index, line)) in named.into_iter().enumerate() {
        let (y, color) = (first + ROW * row as f64, COLORS[index % COLORS.len()]);
        add!(svg, "<text y=\"{y:.1}\" fill=\"{color}\">{}</text>", escaped(&line.name));
    }
    add!(svg, "</g>");
}

pub(super) fn curves_svg(curves: &Curves) -> String {
    let mut svg = String::new();
    let points = || curves.lines.iter().flat_map(|line| line.points.iter().copied()).filter(|(x, y)| x.is_finite() && y.is_finite());
    let (x_axis, y_axis) = (Axis::of(points().map(|(x, _)| x)), Axis::of(points().map(|(_, y)| y)));
    let x_of = |x: f64| MARGIN + x_axis.share(x) * (WIDTH - MARGIN - 20.0);
    let y_of = |y: f64| HEIGHT - MARGIN - y_axis.share(y) * (HEIGHT - MARGIN - TOP);
    let ([left, right], [bottom, top]) = (x_axis.ends().map(x_of), y_axis.ends().map(y_of));
    for (value, label) in x_axis.ticks() {
        let x = x_of(value);
        add!(svg, "<path d=\"M{x:.1} {bottom:.1}V{top:.1}\" stroke=\"#ddd\"/>");
        add!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", bottom + 18.0);
    }
    for (value, label) in y_axis.ticks() {
        let y = y_of(value);
        add!(svg, "<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#ddd\"/>");
        add!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 6.0, y + 4.0);
    }
    let mut drawn = Vec::new();
    for (index, line) in curves.lines.iter().enumerate() {
        let points = line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<_> = points.map(|(x, y)| (x_of(*x), y_of(*y))).collect();
        let text: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let color = COLORS[index % COLORS.len()];
        add!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>", text.join(" "));
        drawn.push(points);
    }
    legend(&mut svg, &curves.lines, &drawn, [left, top, right, bottom]);
    axis_names(&mut svg, &curves.x, &curves.y);
    document(&svg)
}
