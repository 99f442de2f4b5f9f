//! The curve of a test as an SVG document.

use std::fmt::Write as _;

use super::point::LrPoint;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const BELOW: f64 = 50.0;
const ABOVE: f64 = 20.0;
/// The shown value of a point.
type Value = fn(&LrPoint) -> f64;

const COLORS: [&str; 2] = ["#d62728", "#2ca02c"];

/// Writing to a string does not fail.
macro_rules! add {
    ($svg:expr, $($format:tt)*) => { let _ = writeln!($svg, $($format)*); };
}

/// The smallest and the largest of some numbers, a little apart.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let gap = ((high - low) * 0.02).max(f64::EPSILON * high.abs().max(1.0));
    (low - gap, high + gap)
}

/// The losses over the logarithm of the rates, with marks at named rates.
pub(super) fn svg(points: &[LrPoint], marks: &[(&str, f64)]) -> String {
    let shown = || points.iter().filter(|point| point.smoothed.is_finite());
    let (x_low, x_high) = range(shown().map(|point| point.rate.log10()));
    // A last loss that has exploded would flatten the curve.
    let (y_low, y_high) = range(shown().map(|point| point.smoothed));
    let x_of = |rate: f64| LEFT + (rate.log10() - x_low) / (x_high - x_low) * (WIDTH - LEFT - 20.0);
    let y_of = |loss: f64| HEIGHT - BELOW - ((loss - y_low) / (y_high - y_low)).clamp(0.0, 1.0) * (HEIGHT - BELOW - ABOVE);
    let mut svg = String::new();
    add!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    );
    add!(svg, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
    for power in x_low.ceil() as i32..=x_high.floor() as i32 {
        let x = x_of(10.0_f64.powi(power));
        add!(svg, "<path d=\"M{x:.1} {ABOVE}V{}\" stroke=\"#ddd\"/>", HEIGHT - BELOW);
        add!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">1e{power}</text>", HEIGHT - BELOW + 18.0);
    }
    for tick in 0..=4 {
        let loss = y_low + (y_high - y_low) * f64::from(tick) / 4.0;
        let y = y_of(loss);
        add!(svg, "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - 20.0);
        add!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.3}</text>", LEFT - 6.0, y + 4.0);
    }
    let lines: [(&str, f64, Value); 2] = [("#c0d4e8", 1.0, |point| point.loss), ("#1f77b4", 2.0, |point| point.smoothed)];
    for (color, width, loss) in lines {
        let line: Vec<String> = shown().map(|point| format!("{:.1},{:.1}", x_of(point.rate), y_of(loss(point)))).collect();
        add!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"/>", line.join(" "));
    }
    for ((name, rate), (index, color)) in marks.iter().zip(COLORS.iter().enumerate()) {
        let x = x_of(*rate);
        add!(svg, "<path d=\"M{x:.1} {ABOVE}V{}\" stroke=\"{color}\" stroke-dasharray=\"4\"/>", HEIGHT - BELOW);
        let y = ABOVE + 14.0 * (index as f64 + 1.0);
        add!(svg, "<text x=\"{:.1}\" y=\"{y}\" fill=\"{color}\">{name} {rate:.2e}</text>", x + 4.0);
    }
    add!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">learning rate</text>", f64::midpoint(LEFT, WIDTH), HEIGHT - 12.0);
    add!(
        svg,
        "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">loss</text>\n</svg>",
        f64::midpoint(ABOVE, HEIGHT - BELOW)
    );
    svg
}
