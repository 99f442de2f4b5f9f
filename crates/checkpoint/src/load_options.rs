//! Options for loading: which tensors, and their names.

use std::collections::BTreeMap;

use regex::Regex;

use crate::{
    text::list,
    weights_error::{Result, WeightsError},
};

/// Options for loading weights into a module. The default is strict: the file must have every parameter and no other
/// tensor.
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
    key: Option<String>,
    renumber: bool,
    not_transposed: Vec<String>,
}

/// The layout of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightLayout {
    /// The layout of burn, which Stormfire's checkpoints also have.
    Burn,
    /// The layout of PyTorch, which most files on Hugging Face have. The differences to burn:
    ///
    /// |  | PyTorch | burn |
    /// |---|---|---|
    /// | `weight` of a `Linear` | `[outputs, inputs]` | the transpose |
    /// | parameters of normalization layers | `weight`, `bias` | `gamma`, `beta` |
    /// | variants of an enum | not a part of the name | a part of the name |
    /// | index of a layer in a list | counts layers without weights | does not count them |
    PyTorch,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            strict: true,
            adopt_dtype: false,
            only: Vec::new(),
            except: Vec::new(),
            rename: Vec::new(),
            layout: None,
            key: None,
            renumber: true,
            not_transposed: Vec::new(),
        }
    }
}

impl LoadOptions {
    /// The default options: strict, all parameters, in the module's own dtypes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether missing, unexpected and mismatched tensors are an error (default), or are only reported.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether parameters take the dtypes of the file, as an exact resume requires. By default they keep the dtypes of
    /// the module and the values are cast. A dtype that the device does not support is always cast.
    pub fn adopt_dtype(mut self, adopt: bool) -> Self {
        self.adopt_dtype = adopt;
        self
    }

    /// Loads only parameters whose path matches this regular expression. With several calls, one match suffices.
    pub fn only(mut self, pattern: impl Into<String>) -> Self {
        self.only.push(pattern.into());
        self
    }

    /// Does not load parameters whose path matches this regular expression. Can be called several times.
    pub fn except(mut self, pattern: impl Into<String>) -> Self {
        self.except.push(pattern.into());
        self
    }

    /// Renames the tensors of the file: replaces every match of a regular expression (`$1` is its first group). Can be
    /// called several times. The replacements are applied in the order of the calls, before all other options.
    pub fn rename(mut self, pattern: impl Into<String>, replacement: impl Into<String>) -> Self {
        self.rename.push((pattern.into(), replacement.into()));
        self
    }

    /// Sets the layout of the file's weights. Default: the layout that the file declares. Checkpoints of Stormfire and
    /// files of burn have [`WeightLayout::Burn`]. A file of PyTorch, and a safetensors file with `format: pt` in its
    /// metadata, as written by Hugging Face's programs, have [`WeightLayout::PyTorch`]. A file without a declaration is
    /// refused unless this option is set.
    pub fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// Sets the key of the weights in the dictionary of a PyTorch file. Default: `state_dict` or `model_state_dict` if
    /// one exists (a checkpoint of Lightning has the first), otherwise the whole file.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether the layers of a list with PyTorch's layout are counted without the gaps of layers without weights
    /// (default): the layers `0`, `2` and `4` of an `nn.Sequential` become `0`, `1` and `2` of a `Vec`. Numbers without
    /// gaps that do not begin with 0 stay, such as the layers `6` and `7` in one of several files.
    pub fn renumber(mut self, renumber: bool) -> Self {
        self.renumber = renumber;
        self
    }

    /// Sets weights of `Linear` that are already as in burn although the file has PyTorch's layout: the `Conv1D` of
    /// GPT-2, `not_transposed(r"c_(attn|proj|fc)\.weight$")`. A regular expression for paths of the module. Can be
    /// called several times.
    pub fn not_transposed(mut self, pattern: impl Into<String>) -> Self {
        self.not_transposed.push(pattern.into());
        self
    }

    pub(crate) fn own_layout(&self) -> Option<WeightLayout> {
        self.layout
    }

    #[cfg(feature = "pytorch")]
    pub(crate) fn own_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn renumbers(&self) -> bool {
        self.renumber
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(crate) fn adopts_dtype(&self) -> bool {
        self.adopt_dtype
    }

    /// The compiled patterns of [`not_transposed`](Self::not_transposed).
    pub(crate) fn compile_not_transposed(&self) -> Result<Vec<Regex>> {
        self.not_transposed.iter().map(|pattern| regex(pattern)).collect()
    }

    pub(crate) fn compile(&self) -> Result<Names> {
        Names::compile(&self.only, &self.except, &self.rename)
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| WeightsError::Pattern { pattern: pattern.into(), error: Box::new(error) })
}

/// The compiled patterns of options.
pub(crate) struct Names {
    only: Vec<Regex>,
    except: Vec<Regex>,
    rename: Vec<(Regex, String)>,
}

impl Names {
    pub(crate) fn compile(only: &[String], except: &[String], rename: &[(String, String)]) -> Result<Self> {
        Ok(Self {
            only: only.iter().map(|pattern| regex(pattern)).collect::<Result<_>>()?,
            except: except.iter().map(|pattern| regex(pattern)).collect::<Result<_>>()?,
            rename: rename.iter().map(|(from, to)| Ok((regex(from)?, to.clone()))).collect::<Result<_>>()?,
        })
    }

    /// Whether a parameter is selected.
    pub(crate) fn selects(&self, path: &str) -> bool {
        let finds = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(path));
        (self.only.is_empty() || finds(&self.only)) && !finds(&self.except)
    }

    /// Whether a selecting pattern exists.
    pub(crate) fn any(&self) -> bool {
        !(self.only.is_empty() && self.except.is_empty())
    }

    /// The tensors with their new names.
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
