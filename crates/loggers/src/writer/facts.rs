//! Properties of a logger that need no call on its thread.

use std::any::{Any, TypeId};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Background;
use crate::Logger;

/// Properties of a logger that need no call on its thread.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) save_dir: Option<PathBuf>,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) shown_by: Option<String>,
    pub(super) longest_call: Duration,
    pub(super) group_separator: String,
    pub(super) kind: &'static str,
    pub(super) position_names_run: bool,
    pub(super) of_type: TypeId,
    /// The kinds of values that the logger has reported as unsupported.
    pub(super) unsupported: Mutex<Vec<&'static str>>,
}

impl Facts {
    pub(super) fn of(logger: &dyn Logger) -> Self {
        Self {
            name: logger.name().to_owned(),
            version: logger.version(),
            save_dir: logger.save_dir(),
            log_dir: logger.log_dir(),
            shown_by: logger.shown_by(),
            longest_call: logger.longest_call(),
            group_separator: logger.group_separator().to_owned(),
            kind: logger.kind(),
            position_names_run: logger.position_names_run(),
            of_type: Any::type_id(logger),
            unsupported: Mutex::default(),
        }
    }

    /// Whether this kind of value is unsupported for the first time.
    pub(super) fn is_new(&self, what: &'static str) -> bool {
        let mut unsupported = self.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !unsupported.contains(&what);
        if is_new {
            unsupported.push(what);
        }
        is_new
    }
}

impl Background {
    /// [`Logger::name`].
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// [`Logger::version`].
    pub fn version(&self) -> &str {
        &self.facts.version
    }

    /// A short version for a progress bar: `0` for `version_0`, otherwise the last four characters.
    pub fn short_version(&self) -> &str {
        crate::run_dir::short(&self.facts.version)
    }

    /// [`Logger::save_dir`].
    pub fn save_dir(&self) -> Option<&Path> {
        self.facts.save_dir.as_deref()
    }

    /// [`Logger::log_dir`].
    pub fn log_dir(&self) -> Option<&Path> {
        self.facts.log_dir.as_deref()
    }

    /// [`Logger::shown_by`].
    pub fn shown_by(&self) -> Option<&str> {
        self.facts.shown_by.as_deref()
    }

    /// [`Logger::group_separator`].
    pub fn group_separator(&self) -> &str {
        &self.facts.group_separator
    }

    /// [`Logger::kind`].
    pub fn kind(&self) -> &'static str {
        self.facts.kind
    }

    /// [`Logger::position_names_run`].
    pub fn position_names_run(&self) -> bool {
        self.facts.position_names_run
    }
}
