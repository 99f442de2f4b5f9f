//! The layers of a configuration, and their one result.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    args::{self, Words},
    assign::Assignment,
    check::{check, check_names},
    complete::complete,
    env,
    error::{Problem, Problems, Result},
    merge::merge,
    node::{Node, Tree},
    read,
    schema::{Schema, is_below},
    secret,
    source::{Origin, Source},
    typed,
};

/// The layers of a configuration. Later ones win: defaults, a checkpoint, files in their order, environment variables,
/// flags. Their result is checked against the schema, and becomes a value of the type once.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use stormfire_cli::Layers;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct Config {
///     /// Units of the hidden layer.
///     hidden: usize,
///     name: Option<String>,
/// }
///
/// impl Default for Config {
///     fn default() -> Self {
///         Self { hidden: 64, name: None }
///     }
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("a.yaml");
/// std::fs::write(&file, "hidden: 128\nname: a")?;
/// let config: Config = Layers::of(&Config::default())?.file(&file)?.flag("--name", "b").resolve()?;
/// assert_eq!(config, Config { hidden: 128, name: Some("b".into()) });
///
/// let config: Config = Layers::of(&Config::default())?.args(&["-c", &file.to_string_lossy(), "--hidden=32"])?.resolve()?;
/// assert_eq!(config, Config { hidden: 32, name: Some("a".into()) });
///
/// let error = Layers::of(&Config::default())?.flag("--hiden", "1").resolve::<Config>().unwrap_err();
/// assert_eq!(error.to_string(), "--hiden: there is no option `hiden`\n  help: did you mean `hidden`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layers {
    schema: Schema,
    defaults: Node,
    checkpoint: Option<Node>,
    files: Vec<Node>,
    env: Vec<Assignment>,
    flags: Vec<Assignment>,
}

impl Layers {
    /// The layer of defaults. Its type describes the options.
    ///
    /// # Errors
    /// If the defaults are not plain data.
    pub fn of<T: JsonSchema + Serialize>(defaults: &T) -> Result<Self> {
        Self::new(Schema::of::<T>(), defaults)
    }

    /// The layer of defaults, with the options of this schema.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn new(schema: Schema, defaults: &impl Serialize) -> Result<Self> {
        let source = Source::default_value();
        let defaults = Node::of(defaults, &source).map_err(|error| Problem::new(&source, error.to_string()))?;
        Ok(Self { schema, defaults, checkpoint: None, files: Vec::new(), env: Vec::new(), flags: Vec::new() })
    }

    /// The options.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Puts the configuration of a checkpoint over the defaults. Its secrets and unknown names are left out.
    pub(crate) fn checkpoint(mut self, layer: Node) -> Self {
        self.checkpoint = Some(layer);
        self
    }

    /// Puts a file over the layers below: YAML, TOML or JSON by its ending.
    ///
    /// # Errors
    /// If it cannot be read, with line and column.
    pub fn file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.files.push(read::file(path.as_ref())?);
        Ok(self)
    }

    /// Puts environment variables over the files: `PREFIX__MODEL__LR` is the option `model.lr`.
    ///
    /// # Errors
    /// For a variable with this prefix that is not an option.
    pub fn env(mut self, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        self.env = env::assignments(prefix, variables, &self.schema)?;
        Ok(self)
    }

    /// As [`file`](Self::file) for several files, and [`env`](Self::env), with the mistakes of all of them.
    pub(crate) fn files_and_variables(mut self, files: &[PathBuf], variables: Result<Vec<Assignment>>, problems: &mut Problems) -> Self {
        self.files.extend(files.iter().filter_map(|file| problems.note(read::file(file))));
        self.env = problems.note(variables).unwrap_or_default();
        self
    }

    /// Puts a flag over all other layers, as `--model.lr` with `1e-3`.
    pub fn flag(mut self, name: &str, value: impl Into<String>) -> Self {
        let path = name.trim_start_matches('-').to_owned();
        self.flags.push(Assignment { path, text: Some(value.into()), source: Origin::Flag(name.to_owned()).into() });
        self
    }

    /// Puts a command line over the layers below: options as flags or `a.b=1`, and files with `-c`.
    ///
    /// # Errors
    /// For a word that is neither an option nor a file, such as a command or `--help`. As [`file`](Self::file).
    pub fn args<T: AsRef<str>>(mut self, words: &[T]) -> Result<Self> {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        let line = args::parse(&words, &self.schema, Words::PLAIN)?;
        if let Some(print) = line.print {
            return Err(Problem::general(format!("`{}` is for a whole program, and this line has options alone", print.flag())).into());
        }
        for file in &line.files {
            self = self.file(file)?;
        }
        Ok(self.flags(line.options))
    }

    pub(crate) fn flags(mut self, flags: impl IntoIterator<Item = Assignment>) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The layer of flags.
    pub(crate) fn given_flags(&self) -> &[Assignment] {
        &self.flags
    }

    /// All layers as one value, unchecked.
    ///
    /// # Errors
    /// If the text of a flag or variable is not a value.
    pub fn merged(&self) -> Result<Node> {
        let mut result = self.defaults.clone();
        for layer in self.checkpoint.iter().chain(&self.files) {
            merge(&mut result, layer.clone(), "", &self.schema);
        }
        let mut problems = Problems::default();
        for assignments in [&self.env, &self.flags] {
            let mut ordered = in_force(assignments, &self.schema);
            ordered.sort_by_key(|assignment| assignment.precedence(&self.schema));
            for assignment in ordered {
                if problems.is_full() {
                    break;
                }
                match assignment.layer(&self.schema) {
                    Ok(layer) => merge(&mut result, layer, "", &self.schema),
                    Err(error) => problems.push_all(error),
                }
            }
        }
        problems.into_result().map(|()| result)
    }

    /// All layers as one value that fits the schema.
    ///
    /// # Errors
    /// With all mistakes up to ten: unknown and missing options, and values of a wrong kind.
    pub fn checked(&self) -> Result<Node> {
        let mut node = self.merged()?;
        check(&node, &self.schema).map_err(|error| secret::redacted(error, &node, &self.schema))?;
        complete(&mut node, &self.schema);
        Ok(node)
    }

    /// Ends with the mistakes that were found before, if there are any, and with the names in these layers that are
    /// not options. Their other mistakes may have the same cause: a layer or word that is missing here.
    pub(crate) fn end_with(&self, mut problems: Problems) -> Result<()> {
        if !problems.is_empty()
            && let Some(merged) = problems.note(self.merged())
        {
            problems.note(check_names(&merged, &self.schema));
        }
        problems.into_result()
    }

    /// The result as a value of the type.
    ///
    /// # Errors
    /// As [`checked`](Self::checked), and what the type itself refuses.
    pub fn resolve<T: DeserializeOwned>(&self) -> Result<T> {
        let node = self.checked()?;
        typed::read(&node, "").map_err(|error| secret::redacted(error, &node, &self.schema))
    }
}

/// The options without those that a later one on the line takes away: `--crop=null` those of `crop` before it.
fn in_force<'a>(assignments: &'a [Assignment], schema: &Schema) -> Vec<&'a Assignment> {
    let takes_away = |later: &Assignment, path: &str| {
        is_below(path, &later.path)
            && later.layer(schema).is_ok_and(|layer| layer.get(later.path.split('.')).is_some_and(|node| node.value == Tree::Null))
    };
    let is_in_force = |(index, given): &(usize, &Assignment)| !assignments[index + 1..].iter().any(|later| takes_away(later, &given.path));
    assignments.iter().enumerate().filter(is_in_force).map(|(_, given)| given).collect()
}

#[cfg(test)]
mod tests;
