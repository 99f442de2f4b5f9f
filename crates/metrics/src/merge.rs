//! [`Merge`]: values that are made of parts, each with a rule for joining two of them.

use std::fmt;

use stormfire_values::{
    Scalar,
    read::{Array, Part},
};

/// Why two values do not merge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
#[non_exhaustive]
pub struct MergeError {
    /// The field.
    pub field: &'static str,
    /// The reason.
    pub reason: String,
}

impl MergeError {
    /// An error of a field, with what is wrong with it.
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }

    /// An error for an option that is `ours` in one value and `theirs` in the other.
    pub fn differs(field: &'static str, ours: &impl fmt::Debug, theirs: &impl fmt::Debug) -> Self {
        Self::new(field, format!("is {ours:?} in one value and {theirs:?} in the other"))
    }
}

/// The state of a metric: values of batches, loaders and ranks that are merged into one.
///
/// Derive it. Each field says how two values are joined:
///
/// | attribute | types | meaning |
/// |---|---|---|
/// | `#[merge(sum)]`, `#[merge(max)]`, `#[merge(min)]` | [`Scalar`], `f64`, [`Array`] | joined number by number |
/// | `#[merge(cat)]` | [`Rows`](crate::Rows) | kept, one after the other |
/// | `#[merge(same)]` | `PartialEq + Clone + Debug` | an option: it must be equal, and is part of no checkpoint |
/// | none | `Merge` | by its own rule |
///
/// Numbers on a device stay there. Merging must be associative.
///
/// ```
/// use stormfire_metrics::Merge;
/// use stormfire_values::Scalar;
///
/// #[derive(Clone, Debug, stormfire_derive::Merge)]
/// #[merge(crate = stormfire_metrics)]
/// struct Span {
///     #[merge(min)] first: Scalar,
///     #[merge(max)] last: Scalar,
///     #[merge(same)] unit: &'static str,
/// }
/// let of = |first: f64, last: f64, unit| Span { first: first.into(), last: last.into(), unit };
/// let mut span = of(2.0, 3.0, "s");
/// span.merge(&of(1.0, 2.5, "s"))?;
/// assert_eq!((span.first.value(), span.last.value()), (1.0, 3.0));
/// let error = span.merge(&of(1.0, 2.5, "ms")).unwrap_err();
/// assert_eq!(error.to_string(), r#"`unit` is "s" in one value and "ms" in the other"#);
/// # Ok::<(), stormfire_metrics::MergeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `Merge`",
    label = "values of this type cannot be merged over batches",
    note = "derive it with `#[derive(Clone, Debug, Merge)]`, or give the field a rule: `#[merge(sum)]`, `max`, `min`, `cat` or `same`"
)]
pub trait Merge: Clone + fmt::Debug + Send + Sync + 'static {
    /// Merges another value into this one.
    ///
    /// # Errors
    /// [`MergeError`] if they have other options or shapes. This value must not be used then.
    fn merge(&mut self, other: &Self) -> Result<(), MergeError>;

    /// Adds the parts of the state.
    fn save(&self, parts: &mut Vec<Part>);

    /// A value with the options of this one, and the state from [`Merge::save`]. `None` if the parts do not match, for
    /// example in a checkpoint of another version of the program.
    fn load(&self, parts: &mut dyn Iterator<Item = Part>) -> Option<Self>;
}

/// How two numbers are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Their sum.
    Sum,
    /// The larger one.
    Max,
    /// The smaller one.
    Min,
    /// Both, one after the other.
    Cat,
}

/// A type of fields with a [`Rule`]. `#[derive(Merge)]` uses it.
pub trait Field: Clone {
    /// Joins another value into this one.
    ///
    /// # Errors
    /// [`MergeError`] for another shape, or a rule that the type does not have.
    fn join(&mut self, other: &Self, rule: Rule, field: &'static str) -> Result<(), MergeError>;
    /// As a part of a state.
    fn to_part(&self) -> Part;
    /// From a part of a state.
    fn restored(&self, part: Part) -> Option<Self>;
}

fn no_rule(field: &'static str, rule: Rule, ty: &str) -> MergeError {
    MergeError::new(field, format!("cannot be joined by {rule:?}: a {ty} has sum, max and min; `Rows` has cat"))
}

impl Field for Scalar {
    fn join(&mut self, other: &Self, rule: Rule, field: &'static str) -> Result<(), MergeError> {
        let join = match rule {
            Rule::Sum => Scalar::plus,
            Rule::Max => Scalar::max,
            Rule::Min => Scalar::min,
            Rule::Cat => return Err(no_rule(field, rule, "scalar")),
        };
        *self = join(std::mem::replace(self, Scalar::Host(0.0)), other.clone());
        Ok(())
    }

    fn to_part(&self) -> Part {
        Part::Number(self.clone())
    }

    fn restored(&self, part: Part) -> Option<Self> {
        if let Part::Number(scalar) = part { Some(scalar) } else { None }
    }
}

impl Field for f64 {
    fn join(&mut self, other: &Self, rule: Rule, field: &'static str) -> Result<(), MergeError> {
        let mut joined = Scalar::Host(*self);
        joined.join(&Scalar::Host(*other), rule, field)?;
        *self = joined.value();
        Ok(())
    }

    fn to_part(&self) -> Part {
        Part::Number((*self).into())
    }

    fn restored(&self, part: Part) -> Option<Self> {
        if let Part::Number(Scalar::Host(value)) = part { Some(value) } else { None }
    }
}

impl Field for Array {
    fn join(&mut self, other: &Self, rule: Rule, field: &'static str) -> Result<(), MergeError> {
        let join = match rule {
            Rule::Sum => Array::plus,
            Rule::Max => Array::max,
            Rule::Min => Array::min,
            Rule::Cat => return Err(no_rule(field, rule, "array")),
        };
        let dims = self.dims().to_vec();
        // Taken out, so that numbers on the host are joined in place.
        let ours = std::mem::replace(self, Array::row(Vec::new()));
        *self = join(ours, other)
            .ok_or_else(|| MergeError::new(field, format!("has shape {dims:?} in one value and {:?} in the other", other.dims())))?;
        Ok(())
    }

    fn to_part(&self) -> Part {
        Part::Array(self.clone())
    }

    fn restored(&self, part: Part) -> Option<Self> {
        if let Part::Array(array) = part { (array.dims() == self.dims()).then_some(array) } else { None }
    }
}
