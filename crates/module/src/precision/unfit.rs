//! Layers that cannot compute in another type than the default one of the device.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{DType, FloatDType, Tensor},
};

use super::full;
use crate::error::{Error, Result};

/// A layer of burn with tensors that are not parameters, and so stay in the default type. A field distinguishes it from
/// a type of the same name.
const UNFIT: [(&str, &str); 7] = [
    ("Lstm", "input_gate"),
    ("BiLstm", "forward"),
    ("Gru", "update_gate"),
    ("BiGru", "forward"),
    ("Rnn", "gate"),
    ("RotaryEncoding", "freq_complex"),
    ("PositionalEncoding", "sinusoids"),
];

/// Finds the first of them.
struct Find {
    path: Vec<String>,
    kept: usize,
    found: Option<(String, &'static str)>,
}

impl ModuleVisitor for Find {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.kept += usize::from(full::is_kept(container_type));
        let container = container_type.strip_prefix("Struct:").unwrap_or(container_type);
        if self.kept == 0
            && self.found.is_none()
            && let Some((layer, _)) = UNFIT.iter().find(|unfit| **unfit == (container, name))
        {
            self.found = Some((self.path.join("."), layer));
        }
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.kept -= usize::from(full::is_kept(container_type));
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {}
}

/// Refuses a module with a layer that burn cannot cast.
///
/// # Errors
/// [`Error::Config`] with the path of the layer, and the cure.
pub fn refuse_unfit<M: Module>(module: &M, precision: &str) -> Result<()> {
    let mut find = Find { path: Vec::new(), kept: 0, found: None };
    module.visit(&mut find);
    let Some((path, layer)) = find.found else { return Ok(()) };
    let reason = format!("`{path}` is a `{layer}`, whose own tensors burn 0.22 does not cast, so it cannot compute in `{precision}`");
    let hint = format!("make it a `FullPrecision<{layer}>`, which keeps it in f32, or use `32-true` or `bf16-true`");
    Err(Error::config("precision", reason, hint))
}

/// The error for a panic of burn about two float types. `None` for any other panic.
pub fn explained(message: &str, precision: &str, dtype: FloatDType) -> Option<Error> {
    let is_about_types = message.contains("dtype mismatch") || message.contains("DType mismatch") || message.contains("same dtype");
    is_about_types.then(|| {
        let message = message.trim_start_matches("assertion `left == right` failed:").split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = format!("two float types met in a step with `{precision}`: {message}");
        let own = DType::from(dtype).name();
        let hint = format!(
            "the parameters and the batch are {own} in the steps: cast the logits up before a loss that contains tensors \
             (`logits.cast(FloatDType::F32)`), cast tensors that a step makes (`x.cast(y.dtype())`), or keep a layer in f32 with `FullPrecision`"
        );
        Error::config("precision", reason, hint)
    })
}
