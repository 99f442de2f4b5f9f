//! Configuration files in YAML, TOML and JSON, with the line and column of each value.

mod json;
mod toml;
pub(crate) mod yaml;

use std::{
    fs::Metadata,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    error::{Problem, Problems, Result},
    nearest::{any_of, nearest},
    node::{Node, Tree},
    quote,
    source::{Origin, Source},
};

/// The largest file that is read.
const MOST_BYTES: u64 = 2 << 20;

/// The largest number of values in a file or flag, with those behind aliases. In YAML a long string counts as several,
/// because aliases repeat it.
const MOST_VALUES: usize = 100_000;

/// The deepest nesting of sections and lists.
const DEEPEST: usize = 64;

const ENDINGS: [&str; 4] = ["*.yaml", "*.yml", "*.toml", "*.json"];

/// Reads a file. Its ending names the format. A pipe without an ending, as of a shell, has YAML, which includes JSON.
pub(crate) fn file(path: &Path) -> Result<Node> {
    let source = Source::from(Origin::File(path.to_owned()));
    let refuse = |message: String| Problem::new(&source, message);
    let unread = |error: std::io::Error| missing(path, &source, &error);
    let file = fs_err::File::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    let size = metadata.len();
    if size > MOST_BYTES {
        return Err(refuse(format!("the file has {size} bytes, and a configuration at most {MOST_BYTES}")).into());
    }
    // The size of a pipe or device is 0.
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refuse(format!("it has more than {MOST_BYTES} bytes, the most of a configuration")).into());
    }
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
        _ if is_stream(path, Some(&metadata)) => yaml::read(text, &source)?,
        _ => return Err(refuse("the file has no known ending".into()).help(format!("name it {}", any_of(ENDINGS))).into()),
    };
    match node.value {
        Tree::Map(_) => Ok(node),
        // A file of comments only.
        Tree::Null => Ok(Node::empty(&source)),
        other => Err(Problem::new(&node.source, format!("a configuration has sections, and this is {}", other.described())).into()),
    }
}

/// Whether a file is a pipe, a terminal or another device, or one that the shell has opened. One without metadata may
/// not exist.
fn is_stream(path: &Path, metadata: Option<&Metadata>) -> bool {
    let is_open = ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|open| path.starts_with(open));
    is_open || metadata.is_some_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Refuses files whose content can be read once, for several processes that read them.
pub(crate) fn check_readable_again(files: &[PathBuf]) -> Result<()> {
    let mut problems = Problems::default();
    for path in files.iter().filter(|path| is_stream(path, fs_err::metadata(path).ok().as_ref())) {
        let message = "it is a pipe or a device, and each of several runs reads the file";
        let help = "write it to a file, such as `base.yaml`".to_owned();
        problems.push(Problem::new(&Origin::File(path.clone()).into(), message).help(help));
    }
    problems.into_result()
}

fn missing(path: &Path, source: &Source, error: &std::io::Error) -> Problem {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Problem::new(source, format!("it cannot be read: {error}"));
    }
    if path == Path::new("-") {
        return Problem::new(source, "the file does not exist").help("the standard input is `/dev/stdin`".to_owned());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = fs_err::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // Any letter is near to any other one.
    let near = nearest(name, names.iter().map(String::as_str)).filter(|_| name.chars().count() > 1);
    // With its folder, to be copied.
    let help = near.map(|near| format!("did you mean `{}`?", quote::line(&path.with_file_name(near).to_string_lossy())));
    Problem::new(source, "the file does not exist").help(help)
}

/// Counts values up to [`MOST_VALUES`].
#[derive(Default)]
struct Count(usize);

impl Count {
    fn add(&mut self, at: &Source) -> Result<()> {
        self.0 += 1;
        if self.0 > MOST_VALUES { Err(Problem::new(at, format!("it has more than {MOST_VALUES} values")).into()) } else { Ok(()) }
    }
}

/// Line and column, from 1, of a byte in a text.
struct Lines<'a> {
    text: &'a str,
    /// The first byte of each line.
    starts: Vec<usize>,
    /// The number of characters before each block. A file may be one long line, and each of its values has a column.
    chars: Vec<usize>,
}

/// The number of bytes in a block of a text.
const BLOCK: usize = 256;

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut chars = vec![0];
        let mut before = 0;
        for block in text.as_bytes().chunks(BLOCK) {
            before += chars_in(block);
            chars.push(before);
        }
        Self { text, starts: std::iter::once(0).chain(ends).collect(), chars }
    }

    fn at(&self, source: &Source, byte: usize) -> Source {
        let line = self.starts.partition_point(|start| *start <= byte).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let column = self.chars_before(byte).saturating_sub(self.chars_before(start));
        source.at(line + 1, column + 1)
    }

    fn chars_before(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        let block = byte / BLOCK;
        let rest = self.text.as_bytes().get(block * BLOCK..byte).unwrap_or_default();
        self.chars.get(block).copied().unwrap_or_default() + chars_in(rest)
    }
}

/// The number of characters that start in these bytes of UTF-8.
fn chars_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests;
