//! Charts as SVG. Colours and dashes come from the style sheet, so that a chart fits dark and light pages.

use std::fmt::Write as _;

use super::html::escaped;
use crate::runs::{Bucket, Curve, number, smoothed};

/// The size of a chart in its own units.
const SIZE: (f64, f64) = (480.0, 220.0);
/// The margins of the plot: left, top, right, bottom.
const MARGINS: (f64, f64, f64, f64) = (56.0, 8.0, 10.0, 22.0);
/// Maximum number of points of a curve.
const POINTS: usize = 240;
/// The weight of the past in the smoothed curve.
pub(super) const SMOOTHING: f64 = 0.8;
/// Curves with fewer points are not smoothed.
const SMOOTHED_FROM: usize = 20;

/// A rectangle of values that is mapped to the plot.
#[derive(Debug, Clone, Copy)]
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    is_log: bool,
}

impl Frame {
    fn place(&self, step: f64, value: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        let (left, top, right, bottom) = MARGINS;
        let value = if self.is_log { value.log10() } else { value };
        let x = left + share(step, self.x) * (SIZE.0 - left - right);
        (x, top + (1.0 - share(value, self.y)) * (SIZE.1 - top - bottom))
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_log || value > 0.0)
    }
}

/// A metric of several runs. The numbers of the runs choose their styles.
pub(super) fn curves(name: &str, curves: &[(usize, &Curve)]) -> String {
    let buckets: Vec<_> = curves.iter().flat_map(|(_, curve)| curve.buckets()).collect();
    let left = buckets.iter().map(|bucket| bucket.from).fold(f64::INFINITY, f64::min);
    let right = buckets.iter().map(|bucket| bucket.to).fold(f64::NEG_INFINITY, f64::max);
    let drawn: Vec<(usize, Vec<Bucket>)> = curves.iter().map(|(run, curve)| (*run, curve.binned(left, right, POINTS))).collect();
    let low = buckets.iter().filter(|bucket| bucket.finite > 0).map(|bucket| bucket.min).fold(f64::INFINITY, f64::min);
    let high = buckets.iter().filter(|bucket| bucket.finite > 0).map(|bucket| bucket.max).fold(f64::NEG_INFINITY, f64::max);
    let frame = Frame { x: (left, right), y: widened(low, high), is_log: false };
    let mut html = svg(name, &drawn, frame, "linear");
    // A logarithmic axis says more only if the values span orders of magnitude.
    if low > 0.0 && high / low > 10.0 {
        let frame = Frame { y: widened(low.log10(), high.log10()), is_log: true, ..frame };
        html.push_str(&svg(name, &drawn, frame, "log"));
        html.insert_str(0, "<div class=\"both\">");
        html.push_str("</div>");
    }
    html
}

/// The range, with a margin if it is empty.
fn widened(low: f64, high: f64) -> (f64, f64) {
    if low > high {
        return (0.0, 1.0);
    }
    if high - low > 0.0 && (high - low).is_finite() {
        return (low, high);
    }
    if high > low {
        return (low / 2.0, high / 2.0);
    }
    let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    (low - margin, high + margin)
}

fn svg(name: &str, drawn: &[(usize, Vec<Bucket>)], frame: Frame, class: &str) -> String {
    let mut svg = open(name, class);
    let back = |value: f64| if frame.is_log { 10_f64.powf(value) } else { value };
    grid(&mut svg, frame.x, &|share| back(frame.y.0 + (frame.y.1 - frame.y.0) * share));
    for (run, buckets) in drawn {
        let points: Vec<String> =
            buckets.iter().filter_map(|bucket| Some(format!("{},{}", bucket.middle(), number(bucket.mean()?)))).collect();
        let _ = write!(svg, "<g class=\"run run{run}\" data-run=\"{run}\" data-points=\"{}\">", points.join(" "));
        let averages = smoothed(buckets, SMOOTHING);
        let is_smoothed = buckets.len() >= SMOOTHED_FROM;
        let means = buckets.iter().map(|bucket| (bucket.middle(), bucket.mean()));
        if buckets.iter().any(|bucket| bucket.finite > 1) {
            let _ = write!(svg, "<path class=\"band\" d=\"{}\"/>", band(buckets, frame));
        }
        let _ = write!(svg, "<path class=\"{}\" d=\"{}\"/>", if is_smoothed { "raw" } else { "line" }, line(means, frame));
        if is_smoothed {
            let averages = buckets.iter().zip(averages).map(|(bucket, average)| (bucket.middle(), average));
            let _ = write!(svg, "<path class=\"line\" d=\"{}\"/>", line(averages, frame));
        }
        for bucket in buckets.iter().filter(|bucket| bucket.broken > 0) {
            let (x, _) = frame.place(bucket.middle(), 1.0);
            let _ = write!(svg, "<text class=\"broken\" x=\"{x:.1}\" y=\"{:.1}\">×</text>", MARGINS.1 + 8.0);
        }
        svg.push_str("</g>");
    }
    let (left, top, right, bottom) = MARGINS;
    let _ = write!(svg, "<line class=\"at\" y1=\"{top}\" y2=\"{}\" x1=\"0\" x2=\"0\"/>", SIZE.1 - bottom);
    let _ = write!(
        svg,
        "<metadata data-left=\"{left}\" data-right=\"{}\" data-from=\"{}\" data-to=\"{}\"/>",
        SIZE.0 - right,
        frame.x.0,
        frame.x.1
    );
    svg.push_str("</svg>");
    svg
}

fn open(name: &str, class: &str) -> String {
    let (width, height) = SIZE;
    let name = escaped(name);
    format!("<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{name}\">")
}

/// Lines with numbers at both axes. `at` is the value at a share of the y axis.
fn grid(svg: &mut String, (from, to): (f64, f64), at: &dyn Fn(f64) -> f64) {
    let (left, top, right, bottom) = MARGINS;
    let (width, height) = SIZE;
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = top + (1.0 - share) * (height - top - bottom);
        let _ = write!(svg, "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", width - right);
        let _ = write!(svg, "<text class=\"y\" x=\"{}\" y=\"{:.1}\">{}</text>", left - 5.0, y + 3.5, number(at(share)));
    }
    let y = height - 6.0;
    let _ = write!(svg, "<text x=\"{left}\" y=\"{y}\">{}</text>", number(from));
    let _ = write!(svg, "<text class=\"y\" x=\"{}\" y=\"{y}\">{}</text>", width - right, number(to));
}

/// The mark of a single value: a cross, which is also visible if lines are dashed.
const MARK: &str = "m-3 0h6m-3 -3v6";

/// A path through the values. One that cannot be drawn leaves a gap, and a single one is a mark.
fn line(points: impl Iterator<Item = (f64, Option<f64>)>, frame: Frame) -> String {
    let mut path = String::new();
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut end = |run: &mut Vec<(f64, f64)>| {
        for (at, (x, y)) in run.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
        }
        if run.len() == 1 {
            path.push_str(MARK);
        }
        run.clear();
    };
    for (step, value) in points {
        match value.filter(|value| frame.shows(*value)) {
            Some(value) => run.push(frame.place(step, value)),
            None => end(&mut run),
        }
    }
    end(&mut run);
    path
}

/// The area between the extremes.
fn band(buckets: &[Bucket], frame: Frame) -> String {
    let finite: Vec<_> = buckets.iter().filter(|bucket| bucket.finite > 0 && frame.shows(bucket.min)).collect();
    let above = finite.iter().map(|bucket| frame.place(bucket.middle(), bucket.max));
    let below = finite.iter().rev().map(|bucket| frame.place(bucket.middle(), bucket.min));
    let mut path = String::new();
    for (at, (x, y)) in above.chain(below).enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

/// Precision over recall of several runs.
pub(super) fn pr_curves(name: &str, curves: &[(usize, &[f32], &[f32])]) -> String {
    let frame = Frame { x: (0.0, 1.0), y: (0.0, 1.0), is_log: false };
    let mut svg = open(name, "linear");
    grid(&mut svg, frame.x, &|share| share);
    for (run, precision, recall) in curves {
        // The counts of a threshold without positive predictions are 0, and its precision is not a number.
        let points = precision.iter().zip(*recall).filter(|(precision, recall)| **precision > 0.0 || **recall > 0.0);
        let path = line(points.map(|(precision, recall)| (f64::from(*recall), Some(f64::from(*precision)))), frame);
        let _ = write!(svg, "<g class=\"run run{run}\"><path class=\"line\" d=\"{path}\"/></g>");
    }
    svg.push_str("</svg>");
    svg
}

/// Number of bars of a histogram.
const BARS: usize = 40;

/// The counts of a histogram, spread over bars of equal width. A bucket counts for a bar by the part that they share.
pub(super) fn histogram(name: &str, run: usize, limits: &[f64], counts: &[f64]) -> String {
    // The outermost limits may be the largest numbers that exist.
    let edge = |at: usize| limits[at].clamp(-1e300, 1e300);
    let used = |at: &usize| counts[*at] > 0.0 && counts[*at].is_finite();
    let used: Vec<usize> = (0..counts.len().min(limits.len())).filter(used).collect();
    let (Some(first), Some(last)) = (used.first(), used.last()) else { return String::new() };
    let lower = |at: usize| if at > 0 { edge(at - 1) } else { edge(0) - (edge(1.min(limits.len() - 1)) - edge(0)).max(1e-12) };
    let (left, right) = (lower(*first), edge(*last));
    let width = (right - left) / BARS as f64;
    let mut bars = [0.0; BARS];
    for at in used {
        let (low, high) = (lower(at), edge(at));
        for (number, bar) in bars.iter_mut().enumerate() {
            let from = left + width * number as f64;
            let shared = (high.min(from + width) - low.max(from)).max(0.0);
            *bar += counts[at] * shared / (high - low).max(f64::MIN_POSITIVE);
        }
    }
    let highest = bars.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let frame = Frame { x: (left, right), y: (0.0, highest), is_log: false };
    let mut svg = open(name, "linear");
    grid(&mut svg, frame.x, &|share| share * highest);
    let _ = write!(svg, "<g class=\"run run{run}\"><path class=\"bars\" d=\"");
    for (number, bar) in bars.iter().enumerate().filter(|(_, bar)| **bar > 0.0) {
        let from = left + width * number as f64;
        let ((x0, y0), (x1, y1)) = (frame.place(from, *bar), frame.place(from + width, 0.0));
        let _ = write!(svg, "M{x0:.1} {y1:.1}V{y0:.1}H{x1:.1}V{y1:.1}Z");
    }
    svg.push_str("\"/></g></svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_its_shape_in_bars_of_equal_width() {
        // 4 values in -1..0, spread evenly, and 8 in the much wider 0..3.
        let svg = histogram("h", 0, &[-1.0, 0.0, 3.0, f64::MAX], &[0.0, 4.0, 8.0, 0.0]);
        let tops: Vec<&str> = svg.split('V').skip(1).step_by(2).map(|rest| rest.split('H').next().unwrap()).collect();
        assert_eq!(tops.len(), BARS);
        assert!(tops[..10].iter().all(|top| *top == "8.0") && tops[10..].iter().all(|top| *top == tops[39] && *top != "8.0"), "{tops:?}");
        assert_eq!(histogram("h", 0, &[], &[]), "");
        assert!(!histogram("h", 0, &[f64::NEG_INFINITY, f64::INFINITY], &[1.0, f64::NAN]).contains("NaN"));
    }

    #[test]
    fn a_gap_a_single_value_and_a_constant_are_drawn() {
        let frame = Frame { x: (0.0, 4.0), y: widened(1.0, 1.0), is_log: false };
        let path = line([(0.0, Some(1.0)), (1.0, None), (2.0, Some(1.0)), (4.0, Some(f64::INFINITY))].into_iter(), frame);
        assert_eq!(path, format!("M56.0 103.0{MARK}M263.0 103.0{MARK}"));
        assert_eq!((widened(0.0, 0.0), widened(f64::INFINITY, f64::NEG_INFINITY)), ((-1.0, 1.0), (0.0, 1.0)));
        assert!(widened(f64::MIN, f64::MAX).1.is_finite());
    }
}
