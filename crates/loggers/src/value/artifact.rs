//! Files that a run produces.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A file or folder that a backend stores with the run, such as a checkpoint, a data set or a report.
///
/// ```
/// use stormfire_loggers::Artifact;
/// let artifact = Artifact::new("report.pdf").kind("report").alias("final").metadata("pages", 12);
/// assert_eq!((artifact.name(), artifact.kind_name()), ("report.pdf", "report"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    path: PathBuf,
    name: Option<String>,
    kind: String,
    folder: String,
    aliases: Vec<String>,
    metadata: Map<String, Value>,
}

impl Artifact {
    /// The kind of a model. Most trackers store a model differently from other files.
    pub const MODEL: &'static str = "model";

    /// An artifact with the name of the file or folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (name, kind) = (None, "file".to_owned());
        Self { path: path.into(), name, kind, folder: String::new(), aliases: Vec::new(), metadata: Map::new() }
    }

    /// Sets another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the kind, such as [`model`](Self::MODEL) or `dataset`. Default: `file`.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Sets the folder among the artifacts of the run, with parts joined by `/`. Default: the root.
    pub fn in_folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Adds an alias for this version, such as `best`.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Adds metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The path of the file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file and its name. For a folder, all files in it, sorted, with their relative paths joined by `/`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a folder cannot be read.
    pub fn files(&self) -> crate::Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        let mut open = vec![(self.path.clone(), String::new())];
        while let Some((path, name)) = open.pop() {
            if !path.is_dir() {
                let own = || path.file_name().map_or_else(|| "artifact".into(), |name| name.to_string_lossy().into_owned());
                let name = if name.is_empty() { own() } else { name };
                found.push((path, name));
                continue;
            }
            for entry in fs_err::read_dir(&path)? {
                let entry = entry?;
                let below = entry.file_name().to_string_lossy().into_owned();
                open.push((entry.path(), if name.is_empty() { below } else { format!("{name}/{below}") }));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The name. Default: the name of the file or folder.
    pub fn name(&self) -> &str {
        let own = || self.path.file_name().and_then(|name| name.to_str()).unwrap_or("artifact");
        self.name.as_deref().unwrap_or_else(own)
    }

    /// The kind.
    pub fn kind_name(&self) -> &str {
        &self.kind
    }

    /// Whether it is a [`MODEL`](Self::MODEL).
    pub fn is_model(&self) -> bool {
        self.kind == Self::MODEL
    }

    /// The folder among the artifacts of the run.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The aliases of this version.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// The metadata.
    pub const fn known(&self) -> &Map<String, Value> {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_all_the_files_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/c.txt", "a/d/e.txt"] {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, name).unwrap();
        }
        let names = |artifact: Artifact| artifact.files().unwrap().into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(Artifact::new(folder.path())), ["a/c.txt", "a/d/e.txt", "b.txt"]);
        assert_eq!(names(Artifact::new(folder.path().join("a/c.txt")).named("x")), ["c.txt"]);
    }
}
