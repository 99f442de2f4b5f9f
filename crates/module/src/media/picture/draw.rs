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

pub(super) fn matrix_svg(matrix: &Matrix) -> String {
    let mut svg = String::new();
    let count = matrix.values.len().max(1);
    let (width, height) = ((WIDTH - MARGIN - 10.0) / count as f64, (HEIGHT - MARGIN - TOP) / count as f64);
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
            if count <= MAX_NUMBERED {
                let ink = if share > 0.5 { "white" } else { "black" };
                let (x, y) = (x + width / 2.0, y + height / 2.0 + 4.0);
                add!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{}</text>", short(*value));
            }
        }
    }
    // Not more names than there is room for.
    let every = count.div_ceil(MAX_NUMBERED);
    for (index, name) in matrix.names.iter().enumerate().step_by(every) {
        let name = escaped(&name.chars().take(10).collect::<String>());
        let (x, y) = (MARGIN + (index as f64 + 0.5) * width, TOP + (index as f64 + 0.5) * height + 4.0);
        add!(svg, "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>", MARGIN - 6.0);
        let below = HEIGHT - MARGIN + 14.0;
        add!(svg, "<text transform=\"translate({x:.1} {below}) rotate(-45)\" text-anchor=\"end\">{name}</text>");
    }
    axis_names(&mut svg, &matrix.columns, &matrix.rows);
    document(&svg)
}

pub(super) fn curves_svg(curves: &Curves) -> String {
    let mut svg = String::new();
    // All curves of metrics are shares.
    let x_of = |x: f64| MARGIN + x.clamp(0.0, 1.0) * (WIDTH - MARGIN - 20.0);
    let y_of = |y: f64| HEIGHT - MARGIN - y.clamp(0.0, 1.0) * (HEIGHT - MARGIN - TOP);
    for tick in 0..=5 {
        let share = f64::from(tick) / 5.0;
        let (x, y) = (x_of(share), y_of(share));
        add!(svg, "<path d=\"M{x:.1} {:.1}V{:.1}M{:.1} {y:.1}H{:.1}\" stroke=\"#ddd\"/>", y_of(0.0), y_of(1.0), x_of(0.0), x_of(1.0));
        add!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{share:.1}</text>", y_of(0.0) + 18.0);
        add!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{share:.1}</text>", x_of(0.0) - 6.0, y + 4.0);
    }
    for (index, line) in curves.lines.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let points = line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        add!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>", points.join(" "));
        if index < MAX_LEGEND && !line.name.is_empty() {
            let y = TOP + 16.0 * (index as f64 + 1.0);
            add!(svg, "<text x=\"{:.1}\" y=\"{y}\" text-anchor=\"end\" fill=\"{color}\">{}</text>", WIDTH - 28.0, escaped(&line.name));
        }
    }
    axis_names(&mut svg, &curves.x, &curves.y);
    document(&svg)
}
