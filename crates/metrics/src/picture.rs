//! Pictures of metrics: matrices and curves, as numbers.

use serde::{Deserialize, Serialize};

/// A matrix with names of its rows and columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The title of the rows.
    pub rows: String,
    /// The title of the columns.
    pub columns: String,
    /// The names of the rows.
    pub row_names: Vec<String>,
    /// The names of the columns.
    pub column_names: Vec<String>,
    /// The values, row by row.
    pub values: Vec<Vec<f64>>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// One number for each point, such as its threshold. It may be empty.
    pub at: Vec<f64>,
    /// For a precision-recall curve, the counts at each point: true positives, false positives, true negatives, false
    /// negatives. Otherwise empty.
    #[serde(default)]
    pub counts: Vec<[f64; 4]>,
}

impl Line {
    /// A line through points without such numbers.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect(), at: Vec::new(), counts: Vec::new() }
    }
}

/// Lines over two axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// The title of the horizontal axis.
    pub x: String,
    /// The title of the vertical axis.
    pub y: String,
    /// The name of the numbers in [`Line::at`].
    pub at: String,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Curves {
    /// Lines over two axes with these names.
    pub fn new(x: impl Into<String>, y: impl Into<String>, lines: impl IntoIterator<Item = Line>) -> Self {
        Self { x: x.into(), y: y.into(), at: String::new(), lines: lines.into_iter().collect() }
    }
}

/// Numbers whose distribution is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples(pub Vec<f64>);

/// A result that is shown as a drawing and a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picture {
    /// Cells.
    Matrix(Matrix),
    /// Lines.
    Curves(Curves),
    /// A distribution.
    Samples(Samples),
}

impl From<Matrix> for Picture {
    fn from(matrix: Matrix) -> Self {
        Picture::Matrix(matrix)
    }
}

impl From<Curves> for Picture {
    fn from(curves: Curves) -> Self {
        Picture::Curves(curves)
    }
}

impl From<Samples> for Picture {
    fn from(samples: Samples) -> Self {
        Picture::Samples(samples)
    }
}
