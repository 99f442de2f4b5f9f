//! `trainer.yaml`: the options of a Trainer, in the folder of its run. Comments say what state the run has, and which
//! options have their defaults.

use std::collections::BTreeSet;
use std::path::Path;

use stormfire_store::replacement::Replacement;

use crate::{Hyperparams, Result, Status};

/// The name of the file.
pub const TRAINER_YAML: &str = "trainer.yaml";

/// The first line starts with this. The stage of the run and its state follow: `# Trainer.fit: ended`.
const STATE: &str = "# Trainer.";
/// The line above the options that have their defaults.
const DEFAULTS: &str = "# The options below have their defaults.";

/// The state of the newest run in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// The run has not ended, or its process has died.
    Running,
    /// The run has ended.
    Ended(Status),
}

impl RunState {
    const ALL: [Self; 4] = [Self::Running, Self::Ended(Status::Success), Self::Ended(Status::Failed), Self::Ended(Status::Interrupted)];

    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended(Status::Success) => "ended",
            Self::Ended(Status::Failed) => "failed",
            Self::Ended(Status::Interrupted) => "interrupted",
        }
    }
}

/// Writes the file into the folder of a run, such as `fit`. A reader sees the old or the new one.
///
/// # Errors
/// The file cannot be written.
pub fn write_options(folder: &Path, run: &str, state: RunState, options: Hyperparams, defaults: &Hyperparams) -> Result<()> {
    let (usual, changed) = options.partition(|name, value| defaults.get(name) == Some(value));
    let mut text = format!("{STATE}{run}: {}\n", state.name());
    if !changed.is_empty() {
        text.push_str(&changed.to_yaml()?);
    }
    if !usual.is_empty() {
        text.push_str(DEFAULTS);
        text.push('\n');
        text.push_str(&usual.to_yaml()?);
    }
    Ok(Replacement::new(&folder.join(TRAINER_YAML))?.commit_bytes(text.as_bytes())?)
}

/// The state in the text of the file. `None` without one.
pub fn state_of(text: &str) -> Option<RunState> {
    let (_, name) = text.lines().next()?.strip_prefix(STATE)?.split_once(": ")?;
    RunState::ALL.into_iter().find(|state| state.name() == name)
}

/// The options in the text of the file that have their defaults.
pub fn defaults_of(text: &str) -> BTreeSet<&str> {
    let below = text.lines().skip_while(|line| *line != DEFAULTS);
    below.filter(|line| !line.starts_with([' ', '-', '#'])).filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: serde_json::Value) -> Hyperparams {
        Hyperparams::from_json(json).unwrap()
    }

    #[test]
    fn the_file_says_the_state_and_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let defaults = options(serde_json::json!({"max_epochs": null, "seed": null, "parts": [1, 2], "rate": 0.5}));
        let given = options(serde_json::json!({"max_epochs": 3, "seed": null, "parts": [1, 2], "rate": 0.25}));
        for state in RunState::ALL {
            write_options(folder.path(), "test", state, given.clone(), &defaults).unwrap();
            let text = fs_err::read_to_string(folder.path().join(TRAINER_YAML)).unwrap();
            assert_eq!(state_of(&text), Some(state), "{text}");
            assert_eq!(defaults_of(&text), BTreeSet::from(["parts", "seed"]), "{text}");
        }
        insta::assert_snapshot!(fs_err::read_to_string(folder.path().join(TRAINER_YAML)).unwrap(), @"
        # Trainer.test: interrupted
        max_epochs: 3
        rate: 0.25
        # The options below have their defaults.
        seed: null
        parts:
        - 1
        - 2
        ");
        assert_eq!((state_of("max_epochs: 3\n"), state_of("")), (None, None));
        assert_eq!(defaults_of("max_epochs: 3\n"), BTreeSet::new());
    }
}
