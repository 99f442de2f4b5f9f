//! Which tensors are loaded, under which names.

use std::collections::BTreeMap;

use regex::Regex;

use crate::{
    text::list,
    weights_error::{Result, WeightsError},
};

/// How weights are put into a module. The default is strict: every parameter must be there, and nothing else.
///
/// ```
/// use stormfire_checkpoint::LoadOptions;
///
/// // Fine-tuning: the encoder of another model, without its old head.
/// let options = LoadOptions::new().rename(r"^backbone\.", "encoder.").only(r"^encoder\.").strict(false);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    strict: bool,
    adopt_dtype: bool,
    only: Vec<String>,
    except: Vec<String>,
    rename: Vec<(String, String)>,
    layout: Option<WeightLayout>,
}

/// How a program lays weights out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightLayout {
    /// As burn, and so as Stormfire's checkpoints.
    Burn,
    /// As PyTorch, and so as most files on Hugging Face: the `weight` of a `Linear` is `[outputs, inputs]`, that of burn its transpose;
    /// normalization layers have `weight` and `bias` instead of `gamma` and `beta`; the variant of an enum is no part of a name; layers
    /// of a list are counted with those that have no weights. Needs the cargo feature `pytorch`.
    PyTorch,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { strict: true, adopt_dtype: false, only: Vec::new(), except: Vec::new(), rename: Vec::new(), layout: None }
    }
}

impl LoadOptions {
    /// The default: strict, all parameters, in the module's own number types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether anything missing, unexpected or of another shape is an error (default), or only reported.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether parameters take the number type of the file, as an exact continuation needs, or keep the module's (default),
    /// and values are cast. A type that the device does not support is cast in any case.
    pub fn adopt_dtype(mut self, adopt: bool) -> Self {
        self.adopt_dtype = adopt;
        self
    }

    /// Loads only parameters whose path this regular expression finds. May be called several times: one match is enough.
    pub fn only(mut self, pattern: impl Into<String>) -> Self {
        self.only.push(pattern.into());
        self
    }

    /// Leaves parameters as they are whose path this regular expression finds. May be called several times.
    pub fn except(mut self, pattern: impl Into<String>) -> Self {
        self.except.push(pattern.into());
        self
    }

    /// Renames the tensors of the file: replaces every match of a regular expression (`$1` is its first group). May be
    /// called several times, and is applied in that order, before anything else.
    pub fn rename(mut self, pattern: impl Into<String>, replacement: impl Into<String>) -> Self {
        self.rename.push((pattern.into(), replacement.into()));
        self
    }

    /// How the weights of the file are laid out. Default: what the file says. A checkpoint of Stormfire and a file of burn are
    /// [`WeightLayout::Burn`]; a safetensors file with `format: pt` in its metadata, which Hugging Face's programs write, is
    /// [`WeightLayout::PyTorch`]; a file that says neither is refused until this option tells.
    pub fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = Some(layout);
        self
    }

    pub(crate) fn own_layout(&self) -> Option<WeightLayout> {
        self.layout
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(crate) fn adopts_dtype(&self) -> bool {
        self.adopt_dtype
    }

    pub(crate) fn compile(&self) -> Result<Names> {
        let regex =
            |pattern: &String| Regex::new(pattern).map_err(|e| WeightsError::Pattern { pattern: pattern.clone(), source: Box::new(e) });
        Ok(Names {
            only: self.only.iter().map(regex).collect::<Result<_>>()?,
            except: self.except.iter().map(regex).collect::<Result<_>>()?,
            rename: self.rename.iter().map(|(from, to)| Ok((regex(from)?, to.clone()))).collect::<Result<_>>()?,
        })
    }
}

/// The patterns of [`LoadOptions`], compiled.
pub(crate) struct Names {
    only: Vec<Regex>,
    except: Vec<Regex>,
    rename: Vec<(Regex, String)>,
}

impl Names {
    /// Whether a parameter is to be loaded.
    pub(crate) fn selects(&self, path: &str) -> bool {
        let finds = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(path));
        (self.only.is_empty() || finds(&self.only)) && !finds(&self.except)
    }

    /// Whether there is a pattern that selects.
    pub(crate) fn any(&self) -> bool {
        !(self.only.is_empty() && self.except.is_empty())
    }

    /// The tensors under their new names.
    pub(crate) fn rename<T>(&self, tensors: impl IntoIterator<Item = (String, T)>) -> Result<BTreeMap<String, T>> {
        let mut renamed: BTreeMap<String, (String, T)> = BTreeMap::new();
        for (name, tensor) in tensors {
            let path = self.rename.iter().fold(name.clone(), |path, (from, to)| from.replace_all(&path, to.as_str()).into_owned());
            if let Some((first, _)) = renamed.get(&path) {
                return Err(WeightsError::RenamedTwice { first: first.clone(), second: name, path });
            }
            renamed.insert(path, (name, tensor));
        }
        Ok(renamed.into_iter().map(|(path, (_, tensor))| (path, tensor)).collect())
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |what: &str, patterns: &[Regex]| {
            (!patterns.is_empty()).then(|| format!("{what}({})", list(patterns.iter().map(Regex::as_str))))
        };
        f.write_str(&[named("only", &self.only), named("except", &self.except)].into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}
