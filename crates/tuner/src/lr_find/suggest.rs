//! Learning rates read off a curve.

/// The index at which the loss falls fastest by the logarithm of the rate: the smallest `numpy.gradient(losses,
/// numpy.log(rates))`. Needs two points.
pub(super) fn steepest(points: &[(f64, f64)]) -> Option<usize> {
    let slope = |a: (f64, f64), b: (f64, f64)| (b.1 - a.1) / (b.0 - a.0);
    let points: Vec<(f64, f64)> = points.iter().map(|(rate, loss)| (rate.ln(), *loss)).collect();
    let last = points.len().checked_sub(1).filter(|&last| last > 0)?;
    let gradient = |index: usize| match index {
        0 => slope(points[0], points[1]),
        _ if index == last => slope(points[last - 1], points[last]),
        _ => {
            let (before, after) = (points[index].0 - points[index - 1].0, points[index + 1].0 - points[index].0);
            let (left, right) = (slope(points[index - 1], points[index]), slope(points[index], points[index + 1]));
            (after * left + before * right) / (before + after)
        }
    };
    (0..=last).min_by(|&a, &b| gradient(a).total_cmp(&gradient(b)))
}

/// The index in the longest valley, as `valley` of fastai. Needs one point.
pub(super) fn valley(points: &[(f64, f64)]) -> Option<usize> {
    // The length of the longest falling sequence that ends at each point.
    let mut lengths: Vec<usize> = Vec::with_capacity(points.len());
    for (_, loss) in points {
        let longer = points.iter().zip(&lengths).filter(|((_, before), _)| loss < before).map(|(_, length)| length + 1);
        lengths.push(longer.max().unwrap_or(1));
    }
    let longest = *lengths.iter().max()?;
    let end = lengths.iter().position(|length| *length == longest)?;
    // fastai's start is one before the first point if all losses fall.
    let section = longest as f64 / 3.0;
    let offset = section as usize + (section / 2.0) as usize;
    Some((end + offset).saturating_sub(longest))
}
