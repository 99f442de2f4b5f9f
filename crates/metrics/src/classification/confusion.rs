//! The confusion matrix, and measures of agreement.

use stormfire_derive::Merge;
use stormfire_values::read::Array;

use super::{
    cells::{BELOW, EXTRA, above, count, int_dtype, target_cells},
    task::{Binary, Multiclass, Multilabel, Names, Task},
};
use crate::{computed::Outline, metric::Metric, picture::Matrix};

/// The divisor of the cells of a confusion matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalize {
    /// The cells are counts.
    #[default]
    None,
    /// Each cell is divided by the targets of its row.
    Targets,
    /// Each cell is divided by the predictions of its column.
    Predictions,
    /// Each cell is divided by the number of items.
    All,
}

/// Counts of each pair of target (row) and prediction (column), as integers on the device. It is a picture: loggers get
/// it as a figure and a table.
///
/// Of several labels, there is a matrix of "no" and "yes" for each. A row of the picture has the four cells of a label:
/// `tn`, `fp`, `fn` and `tp`.
///
/// A target outside of the classes, unless it is the ignored one, makes every cell NaN.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Confusion {
    /// `[classes + 3, classes]`, see `cells`. Binary and multilabel: `[labels, 5, 2]`.
    #[merge(sum)]
    cells: Array,
    #[merge(same)]
    task: Task,
    /// Of the classes or labels.
    #[merge(same)]
    names: Names,
    #[merge(same)]
    normalize: Normalize,
}

impl Binary {
    /// The confusion matrix of "no" and "yes".
    pub fn confusion(&self) -> Confusion {
        Confusion::of(self.cells(), Task::Binary, ["negative".to_owned(), "positive".to_owned()].into())
    }
}

impl Multilabel {
    /// The confusion matrix of "no" and "yes" for each label.
    pub fn confusion(&self) -> Confusion {
        Confusion::of(self.cells(), Task::Multilabel, self.names.clone())
    }
}

impl Multiclass {
    /// The confusion matrix of all classes.
    pub fn confusion(&self) -> Confusion {
        let classes = self.classes();
        let targets = target_cells(self.targets.clone(), classes, self.ignore_index);
        let cells = targets.clone() * classes as i64 + self.predicted().cast(int_dtype(&targets));
        let cells = count(cells, (classes + EXTRA) * classes).reshaped(vec![classes + EXTRA, classes]);
        Confusion::of(cells, Task::Multiclass, self.names.clone())
    }
}

impl Confusion {
    fn of(cells: Array, task: Task, names: Names) -> Self {
        Self { cells, task, names, normalize: Normalize::None }
    }

    /// Divides the cells of each matrix. Default: they are counts. A row or column without items is 0.
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.normalize = normalize;
        self
    }

    /// Matthews' correlation coefficient, from -1 to 1. It is 0 where the formula has a denominator of 0, but 1 if
    /// everything is right and -1 if everything of two classes is wrong. Of several labels, it is that of the sum of
    /// their matrices.
    pub fn mcc(&self) -> Agreement {
        Agreement { confusion: self.clone(), kind: AgreementKind::Mcc }
    }

    /// Cohen's kappa: agreement beyond chance. NaN if only one class occurs. Of several labels, it is that of the sum
    /// of their matrices.
    pub fn kappa(&self, weights: KappaWeights) -> Agreement {
        Agreement { confusion: self.clone(), kind: AgreementKind::Kappa(weights) }
    }

    /// The counts on the host, row by row: one matrix, or one for each label.
    fn matrices(&self) -> Vec<Vec<Vec<f64>>> {
        let classes = if self.task == Task::Multilabel { 2 } else { self.names.len() };
        let rows: Vec<Vec<f64>> = self.cells.to_vec().chunks(classes.max(1)).map(<[f64]>::to_vec).collect();
        let all = rows.chunks(classes + EXTRA);
        let of_invalid = all.clone().flat_map(|rows| [BELOW, above(classes)].into_iter().filter_map(move |row| rows.get(row)));
        let invalid: f64 = of_invalid.flatten().sum();
        if invalid > 0.0 {
            tracing::error!(
                "{invalid} targets of a confusion matrix are outside of 0..{classes}, so it is NaN; `ignore_index` leaves targets out"
            );
            return vec![vec![vec![f64::NAN; classes]; classes]; all.len()];
        }
        all.map(|rows| rows.iter().skip(1).take(classes).cloned().collect()).collect()
    }

    /// The counts of all labels together.
    fn pooled(&self) -> Vec<Vec<f64>> {
        let plus = |mut sum: Vec<Vec<f64>>, matrix: Vec<Vec<f64>>| {
            sum.iter_mut().flatten().zip(matrix.into_iter().flatten()).for_each(|(cell, other)| *cell += other);
            sum
        };
        self.matrices().into_iter().reduce(plus).unwrap_or_default()
    }

    fn divide(&self, matrix: &mut [Vec<f64>]) {
        let (of_rows, of_columns, all) = (row_sums(matrix), column_sums(matrix), sum_of(matrix));
        for (row, of_row) in matrix.iter_mut().zip(of_rows) {
            for (cell, of_column) in row.iter_mut().zip(&of_columns) {
                let whole = match self.normalize {
                    Normalize::None => 1.0,
                    Normalize::Targets => of_row,
                    Normalize::Predictions => *of_column,
                    Normalize::All => all,
                };
                *cell = if whole == 0.0 { 0.0 } else { *cell / whole };
            }
        }
    }
}

fn sum_of(rows: &[Vec<f64>]) -> f64 {
    rows.iter().flatten().sum()
}

fn row_sums(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().map(|row| row.iter().sum()).collect()
}

fn column_sums(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows.len()).map(|column| rows.iter().filter_map(|row| row.get(column)).sum()).collect()
}

/// The cells of a matrix of "no" and "yes", row by row.
const OUTCOMES: [&str; 4] = ["tn", "fp", "fn", "tp"];

impl Metric for Confusion {
    type Value = Matrix;

    fn compute(&self) -> Matrix {
        let mut matrices = self.matrices();
        for matrix in &mut matrices {
            self.divide(matrix);
        }
        let row_names = self.names.to_vec();
        if self.task == Task::Multilabel {
            let values = matrices.into_iter().map(|matrix| matrix.concat()).collect();
            let column_names = OUTCOMES.map(str::to_owned).to_vec();
            return Matrix { rows: "label".into(), columns: "outcome".into(), row_names, column_names, values };
        }
        let (column_names, values) = (row_names.clone(), matrices.concat());
        Matrix { rows: "target".into(), columns: "prediction".into(), row_names, column_names, values }
    }

    fn outline(&self) -> Outline {
        Outline::Picture
    }
}

/// How much a disagreement weighs in Cohen's kappa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KappaWeights {
    /// All disagreements weigh the same.
    #[default]
    None,
    /// The weight is the distance of the classes.
    Linear,
    /// The weight is the square of the distance of the classes.
    Quadratic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgreementKind {
    Mcc,
    Kappa(KappaWeights),
}

/// A number of a confusion matrix: [`Confusion::mcc`] or [`Confusion::kappa`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Agreement {
    confusion: Confusion,
    #[merge(same)]
    kind: AgreementKind,
}

impl Metric for Agreement {
    type Value = f64;

    fn compute(&self) -> f64 {
        let rows = self.confusion.pooled();
        match self.kind {
            AgreementKind::Mcc => mcc(&rows),
            AgreementKind::Kappa(weights) => kappa(&rows, weights),
        }
    }
}

fn mcc(rows: &[Vec<f64>]) -> f64 {
    let right: f64 = rows.iter().enumerate().filter_map(|(class, row)| row.get(class)).sum();
    let all = sum_of(rows);
    let wrong = all - right;
    if rows.len() == 2 && all > 0.0 && (right == 0.0 || wrong == 0.0) {
        return if right == 0.0 { -1.0 } else { 1.0 };
    }
    let (targets, predictions) = (row_sums(rows), column_sums(rows));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let numerator = right * all - product(&targets, &predictions);
    let denominator = (all * all - product(&predictions, &predictions)) * (all * all - product(&targets, &targets));
    if denominator == 0.0 { 0.0 } else { numerator / denominator.sqrt() }
}

fn kappa(rows: &[Vec<f64>], weights: KappaWeights) -> f64 {
    let (targets, predictions, all) = (row_sums(rows), column_sums(rows), sum_of(rows));
    let (mut observed, mut expected) = (0.0, 0.0);
    for (i, (row, target)) in rows.iter().zip(&targets).enumerate() {
        for (j, (cell, prediction)) in row.iter().zip(&predictions).enumerate() {
            let distance = i.abs_diff(j) as f64;
            let weight = match weights {
                KappaWeights::None => distance.min(1.0),
                KappaWeights::Linear => distance,
                KappaWeights::Quadratic => distance * distance,
            };
            observed += weight * cell;
            expected += weight * target * prediction / all;
        }
    }
    1.0 - observed / expected
}
