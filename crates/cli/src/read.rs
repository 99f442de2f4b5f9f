//! Configuration files in YAML, TOML and JSON, with the line and column of each value.

mod json;
mod toml;
pub(crate) mod yaml;

use std::path::Path;

use crate::{
    error::{Problem, Result},
    nearest::any_of,
    node::{Node, Tree},
    source::{Origin, Source},
};

/// The largest file that is read.
const MOST_BYTES: u64 = 2 << 20;

/// The largest number of values in a YAML file or flag, with those behind aliases. A long string counts as several.
pub(crate) const MOST_VALUES: usize = 100_000;

/// The deepest nesting of sections and lists.
pub(crate) const DEEPEST: usize = 64;

const ENDINGS: [&str; 4] = ["*.yaml", "*.yml", "*.toml", "*.json"];

/// Reads a file. Its ending names the format.
pub(crate) fn file(path: &Path) -> Result<Node> {
    let source = Source::from(Origin::File(path.to_owned()));
    let refuse = |message: String| Problem::new(&source, message);
    let size = fs_err::metadata(path).map_err(|error| missing(path, &source, &error))?.len();
    if size > MOST_BYTES {
        return Err(refuse(format!("the file has {size} bytes, and a configuration at most {MOST_BYTES}")).into());
    }
    let bytes = fs_err::read(path).map_err(|error| missing(path, &source, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        refuse(format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
            .help("save it as UTF-8; a checkpoint is given with `--ckpt-path`".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    let node = match ending.as_str() {
        "yaml" | "yml" => yaml::read(text, &source)?,
        "toml" => toml::read(text, &source)?,
        "json" => json::read(text, &source)?,
        _ => return Err(refuse("the file has no known ending".into()).help(format!("name it {}", any_of(ENDINGS))).into()),
    };
    match node.value {
        Tree::Map(_) => Ok(node),
        // A file of comments only.
        Tree::Null => Ok(Node::empty(&source)),
        other => Err(Problem::new(&node.source, format!("a configuration has sections, and this is {}", other.described())).into()),
    }
}

fn missing(path: &Path, source: &Source, error: &std::io::Error) -> Problem {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Problem::new(source, format!("it cannot be read: {error}"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = fs_err::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let near = crate::nearest::did_you_mean(name, names.iter().map(String::as_str));
    Problem::new(source, "the file does not exist").help(near)
}

/// Line and column, from 1, of a byte in a text.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    fn at(&self, source: &Source, text: &str, byte: usize) -> Source {
        let line = self.starts.partition_point(|start| *start <= byte).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let column = text.get(start..byte).map_or(byte - start, |before| before.chars().count());
        source.at(line + 1, column + 1)
    }
}

#[cfg(test)]
mod tests;
