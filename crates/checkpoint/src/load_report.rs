//! What was loaded, and what was not.

use burn::tensor::DType;

use crate::text::{list, shorten};

/// What became of the tensors of a file and the parameters of a module. Paths are the module's.
///
/// `Display` tells it in a line, long lists shortened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Parameters that have the file's values now, in the module's order.
    pub loaded: Vec<String>,
    /// Parameters that the file does not have.
    pub missing: Vec<String>,
    /// Tensors of the file that the module does not have.
    pub unexpected: Vec<String>,
    /// Parameters that the file has in another shape, or as another kind (float, integer, boolean).
    pub mismatched: Vec<Misfit>,
    /// Loaded parameters whose values were cast to the module's number type.
    pub cast: Vec<Cast>,
}

/// A parameter that the file has in another shape or kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Its path.
    pub path: String,
    /// Type and shape in the file.
    pub file: (DType, Vec<usize>),
    /// Type and shape in the module.
    pub module: (DType, Vec<usize>),
}

/// A parameter whose values were cast.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// Its path.
    pub path: String,
    /// The type in the file.
    pub file: DType,
    /// The type in the module.
    pub module: DType,
}

impl LoadReport {
    /// Whether file and module fit without rest.
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
        if !self.cast.is_empty() {
            let each = |c: &Cast| format!("`{}` ({} to {})", c.path, c.file.name(), c.module.name());
            let each: Vec<_> = self.cast.iter().map(each).collect();
            parts.push(format!("{} cast: {}", each.len(), shorten(&each, SHOWN)));
        }
        f.write_str(&parts.join("; "))
    }
}
