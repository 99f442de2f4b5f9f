//! Pictures of metrics as what loggers show: a figure and a table, or a histogram.

mod draw;

use serde_json::Value;
use stormfire_loggers::{Error as LoggerError, Figure, Histogram, Logger, PrCurve, Table};
use stormfire_metrics::picture::{Curves, Line, Matrix, Picture, Samples};

use self::draw::{curves_svg, matrix_svg};

/// The largest number of points of a line in a figure or a table. More of them look the same.
const MAX_POINTS: usize = 1000;

/// The number of thresholds of a precision-recall curve for loggers, if its own are not evenly spaced.
const THRESHOLDS: usize = 201;

/// The form of a picture for loggers.
#[derive(Clone, Debug)]
pub enum Drawn {
    /// A drawing.
    Figure(Figure),
    /// The numbers of the drawing. Its name ends in `_table`.
    Table(Table),
    /// A distribution.
    Histogram(Histogram),
    /// The precision-recall curve of a class, or of the only one. Its name ends in `_curve`.
    PrecisionRecall(Option<String>, PrCurve),
}

impl Drawn {
    /// Logs it under the name of the metric.
    ///
    /// # Errors
    /// The errors of the logger.
    pub fn log(&self, logger: &mut dyn Logger, name: &str, step: Option<u64>) -> Result<(), LoggerError> {
        match self {
            Drawn::Figure(figure) => logger.log_figure(name, figure, step),
            Drawn::Table(table) => logger.log_table(&format!("{name}_table"), table, step),
            Drawn::Histogram(histogram) => logger.log_histogram(name, histogram, step),
            Drawn::PrecisionRecall(class, curve) => {
                let class = class.as_ref().map_or_else(String::new, |class| format!("/{class}"));
                logger.log_precision_recall(&format!("{name}_curve{class}"), curve, step)
            }
        }
    }
}

/// A picture of a metric for loggers: matrices and curves are a figure and a table, samples are a histogram. Without
/// finite samples there is none. Precision-recall curves also have the counts that `TensorBoard` shows.
///
/// ```
/// use stormfire_metrics::picture::Matrix;
/// use stormfire_module::media::{self, Drawn};
///
/// let names = || vec!["cat".to_owned(), "dog".to_owned()];
/// let matrix = Matrix {
///     rows: "target".into(),
///     columns: "prediction".into(),
///     row_names: names(),
///     column_names: names(),
///     values: vec![vec![3.0, 1.0], vec![0.0, 4.0]],
/// };
/// let drawn = media::drawn(&matrix.into());
/// assert!(matches!(&drawn[..], [Drawn::Figure(_), Drawn::Table(table)] if table.rows().len() == 2));
/// ```
pub fn drawn(picture: &Picture) -> Vec<Drawn> {
    let mut of_classes = Vec::new();
    let (figure, table) = match picture {
        Picture::Matrix(matrix) => (matrix_svg(matrix), matrix_table(matrix)),
        Picture::Curves(curves) => {
            of_classes = pr_curves(curves);
            let curves = thinned(curves);
            (curves_svg(&curves), curves_table(&curves))
        }
        Picture::Samples(Samples(samples)) => {
            return Histogram::from_samples(samples.iter().copied()).map(Drawn::Histogram).into_iter().collect();
        }
    };
    std::iter::once(Drawn::Figure(Figure::svg(figure))).chain(table.map(Drawn::Table)).chain(of_classes).collect()
}

fn pr_curves(curves: &Curves) -> Vec<Drawn> {
    let is_only = curves.lines.len() == 1;
    let of_class = |line: &Line| Some(Drawn::PrecisionRecall((!is_only).then(|| line.name.clone()), pr_curve(line)?));
    curves.lines.iter().filter_map(of_class).collect()
}

/// The counts of a line at evenly spaced thresholds: its own ones, or those of the lowest of its thresholds that is not
/// below each. Its points go from the highest threshold to the lowest.
fn pr_curve(line: &Line) -> Option<PrCurve> {
    let points: Vec<_> = line.at.iter().copied().zip(line.counts.iter().copied()).collect();
    let threshold = |index: usize, count: usize| f64::from(index as f32 / (count - 1) as f32);
    let (_, own) = points.split_first()?;
    let is_even =
        own.len() > 1 && own.iter().rev().enumerate().all(|(index, (at, _))| at.to_bits() == threshold(index, own.len()).to_bits());
    let count = if is_even { own.len() } else { THRESHOLDS };
    let counts = (0..count).map(|index| {
        let above = points.partition_point(|(at, _)| *at >= threshold(index, count));
        points[above.saturating_sub(1)].1
    });
    PrCurve::new(counts).ok()
}

/// A matrix or curves as a drawing, such as for a file. `None` for samples, which are a histogram.
pub fn figure(picture: &Picture) -> Option<Figure> {
    match picture {
        Picture::Matrix(matrix) => Some(Figure::svg(matrix_svg(matrix))),
        Picture::Curves(curves) => Some(Figure::svg(curves_svg(&thinned(curves)))),
        Picture::Samples(_) => None,
    }
}

fn matrix_table(matrix: &Matrix) -> Option<Table> {
    let Matrix { rows, columns, row_names, column_names, values } = matrix;
    let table = Table::new(std::iter::once(format!("{rows} / {columns}")).chain(column_names.iter().cloned()));
    // Counts have no fraction.
    let are_counts = values.iter().flatten().all(|value| value.fract() == 0.0);
    let cell = |value: &f64| if are_counts { (*value as i64).into() } else { (*value).into() };
    let row = |table: Table, (name, values): (&String, &Vec<f64>)| {
        table.row(std::iter::once(name.as_str().into()).chain(values.iter().map(cell))).ok()
    };
    row_names.iter().zip(values).try_fold(table, row)
}

fn curves_table(curves: &Curves) -> Option<Table> {
    let Curves { x, y, at, lines } = curves;
    let table = Table::new(["line", x, y, at].into_iter().filter(|name| !name.is_empty()));
    let mut rows = lines.iter().flat_map(|line| {
        line.points.iter().enumerate().map(|(index, (x, y))| {
            // A line of points that belong to nothing has empty cells.
            let at = (!at.is_empty()).then(|| line.at.get(index).map_or(Value::Null, |at| (*at).into()));
            [line.name.as_str().into(), (*x).into(), (*y).into()].into_iter().chain(at)
        })
    });
    rows.try_fold(table, |table, row| table.row(row).ok())
}

/// Every n-th point of long lines, and the last one.
fn thinned(curves: &Curves) -> Curves {
    let mut curves = curves.clone();
    for line in &mut curves.lines {
        let (count, every) = (line.points.len(), line.points.len().div_ceil(MAX_POINTS).max(1));
        let keeps = |index: usize| index.is_multiple_of(every) || index + 1 == count;
        let mut index = 0..;
        line.points.retain(|_| index.next().is_some_and(keeps));
        let mut index = 0..;
        line.at.retain(|_| index.next().is_some_and(keeps));
    }
    curves
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Tensor};
    use stormfire_metrics::{
        Metric,
        classification::{Binary, Multilabel},
    };

    use super::*;

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let points = (0..5000).map(|i| (f64::from(i) / 4999.0, 0.5)).collect();
        let line = Line { name: "a<b".into(), points, at: (0..5000).map(f64::from).collect(), counts: Vec::new() };
        let curves = Curves { x: "recall".into(), y: "precision".into(), at: "threshold".into(), lines: vec![line] };
        let drawn = drawn(&curves.into());
        let [Drawn::Figure(figure), Drawn::Table(table)] = &drawn[..] else { panic!("{drawn:?}") };
        let text = String::from_utf8(figure.bytes().to_vec()).unwrap();
        assert!(text.contains("a&lt;b") && text.contains("recall") && text.len() < 40_000, "{} bytes", text.len());
        assert_eq!((table.rows().len(), table.columns()), (1001, &["line", "recall", "precision", "threshold"].map(str::to_owned)[..]));
        assert_eq!(table.rows()[1000][3], 4999.0);
    }

    #[test]
    fn the_names_of_curves_stand_where_no_line_is() {
        let place = |points: &[(f64, f64)]| {
            let line = |name: &str| Line { name: name.into(), points: points.to_vec(), at: Vec::new(), counts: Vec::new() };
            let curves = Curves { x: "x".into(), y: "y".into(), at: "at".into(), lines: vec![line("first"), line("second")] };
            let svg = curves_svg(&curves);
            let legend = svg.split("<g ").nth(1).unwrap().split("</g>").next().unwrap();
            let anchor = if legend.contains("text-anchor=\"end\"") { "right" } else { "left" };
            let rows: Vec<f64> = legend.split("y=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
            assert!(rows[1] > rows[0] && rows.len() == 2, "{rows:?}");
            format!("{anchor} {}", if rows[0] < 280.0 { "top" } else { "bottom" })
        };
        assert_eq!(place(&[]), "right top");
        // Precision over recall, and a receiver operating characteristic.
        assert_eq!(place(&[(0.0, 1.0), (0.95, 1.0), (1.0, 0.02)]), "left bottom");
        assert_eq!(place(&[(0.0, 0.0), (0.05, 0.9), (1.0, 1.0)]), "right bottom");
        assert_eq!(place(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]), "left top");
    }

    /// `PrCurve::of_predictions` is compared with `tensorboardX`.
    #[test]
    fn a_precision_recall_curve_has_the_counts_of_tensorboard() {
        let device = burn::tensor::Device::flex();
        let (labels, scores) = ([true, true, false, false, true, false, true], [0.9_f32, 0.5, 0.5, 0.1, 1.0, 0.0, 0.30]);
        let targets = Tensor::<1, Int>::from_ints(labels.map(i32::from), &device);
        let batch = Binary::from_probabilities(&Tensor::<1>::from_floats(scores, &device), &targets).unwrap();
        let curve = |picture: Curves| match drawn(&picture.into()).pop() {
            Some(Drawn::PrecisionRecall(None, curve)) => curve,
            other => panic!("{other:?}"),
        };
        for thresholds in [5, 11, 200] {
            let found = curve(batch.curves(thresholds).unwrap().precision_recall().read().unwrap());
            assert_eq!(found, PrCurve::of_predictions(&labels, &scores, thresholds).unwrap(), "{thresholds} thresholds");
        }
        let exact = curve(batch.exact_curves().precision_recall().read().unwrap());
        assert_eq!(exact, PrCurve::of_predictions(&labels, &scores, THRESHOLDS).unwrap());
        assert!(drawn(&batch.exact_curves().roc().read().unwrap().into()).iter().all(|drawn| !matches!(drawn, Drawn::PrecisionRecall(..))));
    }

    #[test]
    fn the_confusion_of_labels_has_a_row_for_each() {
        let device = burn::tensor::Device::flex();
        let scores = Tensor::<2>::from_floats([[0.9, 0.2], [0.8, 0.7], [0.1, 0.6]], &device);
        let targets = Tensor::<2, Int>::from_ints([[1, 0], [0, 1], [0, 1]], &device);
        let labels = Multilabel::from_probabilities(&scores, &targets).unwrap().names(["red", "round"]).unwrap();
        let drawn = drawn(&labels.confusion().read().unwrap().into());
        let [Drawn::Figure(figure), Drawn::Table(table)] = &drawn[..] else { panic!("{drawn:?}") };
        assert_eq!(table.columns(), &["label / outcome", "tn", "fp", "fn", "tp"].map(str::to_owned)[..]);
        let rows: Vec<String> = table.rows().iter().map(|row| format!("{row:?}")).collect();
        let right = [
            r#"[String("red"), Number(1), Number(1), Number(0), Number(1)]"#,
            r#"[String("round"), Number(1), Number(0), Number(0), Number(2)]"#,
        ];
        assert_eq!(rows, right);
        let svg = String::from_utf8(figure.bytes().to_vec()).unwrap();
        // A white page, and four cells for each label.
        assert!(svg.matches("<rect").count() == 9 && svg.contains(">round</text>") && svg.contains(">fn</text>"), "{svg}");
    }

    #[test]
    fn curves_beyond_0_to_1_have_axes_of_their_range() {
        let svg = |points: [(f64, f64); 2]| {
            let figure = figure(&Curves::new("year", "ppm", [Line::new("measured", points)]).into()).unwrap();
            String::from_utf8(figure.bytes().to_vec()).unwrap()
        };
        let measured = svg([(1991.5, 355.0), (2000.5, 371.2)]);
        for tick in ["1990", "1992", "2002", "355", "375"] {
            assert!(measured.contains(&format!(">{tick}</text>")), "{tick} in {measured}");
        }
        // From a twelfth of the width to its seven eighths, and from the bottom upwards.
        assert!(measured.contains("points=\"156.2,470.0 553.8,108.7\""), "{measured}");
        let tiny = svg([(0.0, -0.002), (1.0, 0.001)]);
        assert!(tiny.contains(">-0.002</text>") && tiny.contains(">0.001</text>"), "{tiny}");
        let constant = svg([(3.0, 5.0), (f64::NAN, f64::INFINITY)]);
        assert!(!constant.contains("NaN") && !constant.contains("inf"), "{constant}");
    }

    #[test]
    fn samples_are_a_histogram_unless_none_is_finite() {
        assert!(matches!(&drawn(&Samples(vec![1.0, f64::NAN]).into())[..], [Drawn::Histogram(histogram)] if histogram.counts().len() == 2));
        assert!(drawn(&Samples(vec![f64::NAN]).into()).is_empty());
    }
}
