//! Matrices and curves as SVG documents.

use std::fmt::Write;

use stormfire_metrics::picture::{Curves, Matrix};

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
    let mut legend = String::new();
    for (index, line) in curves.lines.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let points = line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        add!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>", points.join(" "));
        if index < MAX_LEGEND && !line.name.is_empty() {
            let y = TOP + 16.0 * (index as f64 + 1.0);
            add!(legend, "<text y=\"{y}\" fill=\"{color}\">{}</text>", escaped(&line.name));
        }
    }
    // Above the lines, and legible there.
    let style = "text-anchor=\"end\" stroke=\"white\" stroke-width=\"3\" paint-order=\"stroke\"";
    add!(svg, "<g transform=\"translate({:.1} 0)\" {style}>\n{legend}</g>", WIDTH - 28.0);
    axis_names(&mut svg, &curves.x, &curves.y);
    document(&svg)
}
