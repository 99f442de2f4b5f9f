//! One chart: a metric of several runs.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::dots::Dots;
use super::theme::{Theme, letter};
use crate::runs::{Bucket, Curve, narrow, number, plain, smoothed};

/// The width of the numbers of the y axis, with a space after them.
const MARGIN: u16 = 9;

/// How to draw curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// The weight of the past in the moving average. 0 draws the values.
    pub(super) smoothing: f64,
    pub(super) is_log: bool,
    /// Whether the range of the y axis leaves out the 2 % most extreme buckets at each end.
    pub(super) ignores_outliers: bool,
    pub(super) theme: Theme,
}

/// The buckets of a curve in a chart, with its run.
struct Drawn {
    run: usize,
    buckets: Vec<Bucket>,
    averages: Vec<Option<f64>>,
}

/// Draws a metric. `curves` have the numbers of their runs.
pub(super) fn draw(area: Rect, name: &str, curves: &[(usize, &Curve)], is_chosen: bool, look: Look, buffer: &mut Buffer) {
    if area.height < 3 || area.width < MARGIN + 6 {
        return;
    }
    title(area, name, curves, is_chosen, look, buffer);
    let plot = Rect { x: area.x + MARGIN, y: area.y + 1, width: area.width - MARGIN - 1, height: area.height - 2 };
    let ends = curves.iter().flat_map(|(_, curve)| {
        let buckets = curve.buckets();
        [buckets.first().map(|bucket| bucket.from), curve.last().map(|(step, _)| step), buckets.last().map(|bucket| bucket.to)]
    });
    let (left, right) = ends.flatten().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), step| (low.min(step), high.max(step)));
    if left > right {
        return;
    }
    if curves.iter().all(|(_, curve)| curve.len() == 1) {
        return single_values(plot, curves, look, buffer);
    }
    let mut dots = Dots::new(plot);
    let columns = dots.width();
    let drawn: Vec<Drawn> = curves
        .iter()
        .map(|(run, curve)| {
            let buckets = curve.binned(left, right, columns);
            Drawn { run: *run, averages: smoothed(&buckets, look.smoothing), buckets }
        })
        .collect();
    let scale = Scale { log: look.is_log };
    let Some((bottom, top)) = range(&drawn, scale, look) else {
        let what = if curves.iter().all(|(_, curve)| curve.min().is_none()) { "no finite value" } else { "no value above 0" };
        buffer.set_stringn(plot.x, plot.y + plot.height / 2, what, plot.width.into(), look.theme.dim());
        return;
    };
    let height = dots.height();
    let x_of = |step: f64| if right > left { ((step - left) / (right - left) * (columns - 1) as f64).round() as usize } else { 0 };
    let y_of = |value: f64| {
        let share = ((scale.of(value) - bottom) / (top - bottom)).clamp(0.0, 1.0);
        ((1.0 - share) * (height - 1) as f64).round() as usize
    };
    for curve in &drawn {
        let style = look.theme.run(curve.run);
        let is_smoothed = look.smoothing > 0.0;
        if !is_smoothed || look.theme.has_colors {
            let style = if is_smoothed { style.patch(look.theme.dim()) } else { style };
            for bucket in curve.buckets.iter().filter(|bucket| bucket.finite > 0 && scale.shows(bucket.max)) {
                let low = if scale.shows(bucket.min) { bucket.min } else { bucket.max };
                dots.column(x_of(bucket.middle()), y_of(low), y_of(bucket.max), style);
            }
        }
        let mut last = None;
        for (bucket, average) in curve.buckets.iter().zip(&curve.averages) {
            let value = if is_smoothed { *average } else { bucket.mean() };
            let Some(value) = value.filter(|value| scale.shows(*value)) else {
                // A value that is not finite leaves a gap.
                last = None;
                continue;
            };
            let point = (x_of(bucket.middle()), y_of(value));
            dots.line(last.unwrap_or(point), point, style);
            last = Some(point);
        }
    }
    dots.draw(buffer);
    marks(plot, &drawn, &x_of, &y_of, scale, look, buffer);
    axes(area, plot, (left, right), (scale.back(bottom), scale.back(top)), look.theme.dim(), buffer);
}

/// The name, and the newest value of each run at the right.
fn title(area: Rect, name: &str, curves: &[(usize, &Curve)], is_chosen: bool, look: Look, buffer: &mut Buffer) {
    let values: Vec<(String, Style)> = curves
        .iter()
        .filter_map(|(run, curve)| Some((*run, curve.last()?.1)))
        .map(|(run, value)| {
            let letter = if curves.len() > 1 { format!("{} ", letter(run)) } else { String::new() };
            (format!("  {letter}{}", number(value)), look.theme.run(run))
        })
        .collect();
    // The values of the first runs that leave room for the name.
    let mut room = usize::from(area.width).saturating_sub(13);
    let shown: Vec<_> = values
        .into_iter()
        .take_while(|(text, _)| {
            let fits = text.len() <= room;
            room = room.saturating_sub(text.len());
            fits
        })
        .collect();
    let width: usize = shown.iter().map(|(text, _)| text.len()).sum();
    let style = if is_chosen { look.theme.chosen() } else { look.theme.bold() };
    let left = usize::from(area.width).saturating_sub(width + 1);
    let name = plain(name);
    let is_cut = name.chars().count() > left;
    let (end, _) = buffer.set_stringn(area.x, area.y, &name, left.saturating_sub(usize::from(is_cut)), style);
    if is_cut && end < area.x + area.width {
        buffer.set_string(end, area.y, "…", style);
    }
    let mut x = area.x + (usize::from(area.width).saturating_sub(width + 1)) as u16;
    for (text, style) in shown {
        (x, _) = buffer.set_stringn(x, area.y, text, usize::from(area.width), style);
    }
}

/// A line for each run with its only value, which makes no curve.
fn single_values(plot: Rect, curves: &[(usize, &Curve)], look: Look, buffer: &mut Buffer) {
    for (y, (run, curve)) in (plot.y..plot.y + plot.height).zip(curves) {
        let value =
            curve.last().map_or_else(|| "not finite".to_owned(), |(step, value)| format!("{} at step {}", number(value), number(step)));
        buffer.set_stringn(plot.x, y, format!("{} {value}", letter(*run)), plot.width.into(), look.theme.run(*run));
    }
}

/// The letters at the ends of the curves, and a cross above values that are not finite.
fn marks(
    plot: Rect,
    drawn: &[Drawn],
    x_of: &dyn Fn(f64) -> usize,
    y_of: &dyn Fn(f64) -> usize,
    scale: Scale,
    look: Look,
    buffer: &mut Buffer,
) {
    for curve in drawn {
        let style = look.theme.run(curve.run);
        for bucket in curve.buckets.iter().filter(|bucket| bucket.broken > 0) {
            let x = plot.x + (x_of(bucket.middle()) / 2) as u16;
            buffer[(x, plot.y)].set_char('×').set_style(style.patch(look.theme.bold()));
        }
        if drawn.len() < 2 {
            continue;
        }
        let values = curve.buckets.iter().zip(&curve.averages).rev();
        let mut values =
            values.filter_map(|(bucket, average)| Some((bucket, if look.smoothing > 0.0 { *average } else { bucket.mean() }?)));
        if let Some((bucket, value)) = values.find(|(_, value)| scale.shows(*value)) {
            let cell = (plot.x + (x_of(bucket.middle()) / 2) as u16, plot.y + (y_of(value) / 4) as u16);
            buffer[cell].set_char(letter(curve.run)).set_style(style.patch(look.theme.bold()));
        }
    }
}

fn axes(area: Rect, plot: Rect, (left, right): (f64, f64), (bottom, top): (f64, f64), style: Style, buffer: &mut Buffer) {
    let width = usize::from(MARGIN - 1);
    for (y, value) in [(plot.y, top), (plot.y + plot.height - 1, bottom)] {
        buffer.set_stringn(area.x, y, format!("{:>width$}", narrow(value, width)), width, style);
    }
    let (low, high) = (number(left), number(right));
    let y = area.y + area.height - 1;
    buffer.set_stringn(plot.x, y, &low, plot.width.into(), style);
    let x = plot.x + plot.width.saturating_sub(high.len() as u16);
    if x > plot.x + low.len() as u16 {
        buffer.set_stringn(x, y, &high, plot.width.into(), style);
    }
}

/// A linear or logarithmic axis.
#[derive(Clone, Copy)]
struct Scale {
    log: bool,
}

impl Scale {
    fn shows(self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    fn of(self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    fn back(self, value: f64) -> f64 {
        if self.log { 10_f64.powf(value) } else { value }
    }
}

/// The range of the y axis, in its scale. `None` without a value to draw.
fn range(drawn: &[Drawn], scale: Scale, look: Look) -> Option<(f64, f64)> {
    let smooth_only = look.smoothing > 0.0 && !look.theme.has_colors;
    let of_curve = |curve: &Drawn| -> Vec<f64> {
        let values = curve.buckets.iter().zip(&curve.averages);
        let ends = |(bucket, average): (&Bucket, &Option<f64>)| {
            if smooth_only { [average.unwrap_or(f64::NAN); 2] } else { [bucket.min, bucket.max] }
        };
        values.flat_map(ends).filter(|value| scale.shows(*value)).map(|value| scale.of(value)).collect()
    };
    let mut values: Vec<f64> = drawn.iter().flat_map(of_curve).collect();
    values.sort_by(f64::total_cmp);
    let skipped = if look.ignores_outliers { values.len() / 50 } else { 0 };
    let (low, high) = (*values.get(skipped)?, *values.get(values.len().checked_sub(skipped + 1)?)?);
    if high - low > 0.0 && (high - low).is_finite() {
        return Some((low, high));
    }
    if high > low {
        // The width of the range overflows.
        return Some((low / 2.0, high / 2.0));
    }
    let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    Some((low - margin, high + margin))
}
