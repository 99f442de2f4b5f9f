//! The result of a metric: one number, named numbers, or a picture.

use serde::{Deserialize, Serialize};

use crate::picture::{Curves, Matrix, Picture, Samples};

/// Numbers with a name each, in order, such as one per class. A logger gets each as `metric/name`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Named(pub Vec<(String, f64)>);

impl Named {
    /// The number of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// The numbers, in order.
    pub fn values(&self) -> Vec<f64> {
        self.0.iter().map(|(_, value)| *value).collect()
    }
}

/// The result of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed {
    /// One number.
    One(f64),
    /// Several numbers.
    Named(Named),
    /// A drawing with its numbers.
    Picture(Picture),
}

impl Computed {
    /// The number with this index in [`Outline`]. NaN if there is none.
    pub fn number(&self, index: usize) -> f64 {
        match self {
            Computed::One(value) if index == 0 => *value,
            Computed::Named(named) => named.0.get(index).map_or(f64::NAN, |(_, value)| *value),
            _ => f64::NAN,
        }
    }

    /// The picture, if it is one.
    pub fn picture(&self) -> Option<&Picture> {
        if let Computed::Picture(picture) = self { Some(picture) } else { None }
    }
}

impl From<f64> for Computed {
    fn from(value: f64) -> Self {
        Computed::One(value)
    }
}

impl From<Named> for Computed {
    fn from(named: Named) -> Self {
        Computed::Named(named)
    }
}

macro_rules! pictures {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Computed {
            fn from(picture: $ty) -> Self {
                Computed::Picture(picture.into())
            }
        }
    )*};
}
pictures!(Picture, Matrix, Curves, Samples);

/// The form of a metric's result. It is known before the state is read from a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outline {
    /// One number.
    #[default]
    One,
    /// Several numbers with these names.
    Named(Vec<String>),
    /// A picture.
    Picture,
}
