//! Reports of loaded weights.

use burn::tensor::DType;

use crate::text::{list, shorten};

/// The result of loading a file into a module. Paths are those of the module.
///
/// `Display` prints one line, with long lists shortened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Parameters that now have the values of the file, in the order of the module.
    pub loaded: Vec<String>,
    /// Parameters that are missing in the file.
    pub missing: Vec<String>,
    /// Tensors of the file that the module does not have.
    pub unexpected: Vec<String>,
    /// Parameters with another shape or kind (float, integer, boolean) in the file.
    pub mismatched: Vec<Misfit>,
    /// Loaded parameters whose values were cast to the dtype of the module.
    pub cast: Vec<Cast>,
    /// Missing and mismatched parameters with the unexpected tensor that may be meant: it has the most similar name of
    /// those with a fitting shape.
    pub similar: Vec<(String, String)>,
    /// A further [`rename`](crate::LoadOptions::rename) with which most of the missing parameters would be found.
    pub rename: Option<(String, String)>,
}

/// A parameter with another shape or kind in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// The path.
    pub path: String,
    /// Dtype and shape in the file.
    pub file: (DType, Vec<usize>),
    /// Dtype and shape in the module.
    pub module: (DType, Vec<usize>),
}

/// A parameter whose values were cast.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The path.
    pub path: String,
    /// The dtype in the file.
    pub file: DType,
    /// The dtype in the module.
    pub module: DType,
}

impl LoadReport {
    /// Whether file and module match completely.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 10;
        let described = |(dtype, shape): &(DType, Vec<usize>)| format!("{} {shape:?}", dtype.name());
        let plural = if self.loaded.len() == 1 { "" } else { "s" };
        let mut parts = vec![format!("{} parameter{plural} loaded", self.loaded.len())];
        if !self.missing.is_empty() {
            parts.push(format!("{} missing: {}", self.missing.len(), list(&self.missing)));
        }
        if !self.unexpected.is_empty() {
            parts.push(format!("{} unexpected: {}", self.unexpected.len(), list(&self.unexpected)));
        }
        if !self.mismatched.is_empty() {
            let each = |m: &Misfit| format!("`{}` ({} in the file, {} in the module)", m.path, described(&m.file), described(&m.module));
            let each: Vec<_> = self.mismatched.iter().map(each).collect();
            parts.push(format!("{} that do not fit: {}", each.len(), shorten(&each, SHOWN)));
        }
        if !self.similar.is_empty() {
            let each: Vec<_> = self.similar.iter().map(|(path, name)| format!("`{path}` may be `{name}`")).collect();
            parts.push(shorten(&each, SHOWN));
        }
        if !self.cast.is_empty() {
            let each = |c: &Cast| format!("`{}` ({} to {})", c.path, c.file.name(), c.module.name());
            let each: Vec<_> = self.cast.iter().map(each).collect();
            parts.push(format!("{} cast: {}", each.len(), shorten(&each, SHOWN)));
        }
        f.write_str(&parts.join("; "))
    }
}
