//! The settings of several runs, next to each other.

use crate::runs::Run;

/// A setting with its value in each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    /// `None` for a run without it.
    pub(crate) values: Vec<Option<String>>,
    pub(crate) differs: bool,
}

/// The hyperparameters, the options of the program, and those of the Trainer. Those that differ come first, then the
/// hyperparameters.
pub(crate) fn settings(runs: &[&Run]) -> Vec<Setting> {
    let hparams: Vec<_> = runs.iter().map(|run| run.hparams()).collect();
    let options: Vec<_> = runs.iter().map(|run| run.options()).collect();
    let trainer: Vec<_> = runs.iter().map(|run| run.trainer().to_vec()).collect();
    let mut table = rows(&hparams, "");
    table.extend(rows(&options, ""));
    table.extend(rows(&trainer, "trainer."));
    table.sort_by_key(|row| !row.differs);
    table
}

fn rows(of_runs: &[Vec<(String, String)>], prefix: &str) -> Vec<Setting> {
    let mut table: Vec<Setting> = Vec::new();
    for (at, settings) in of_runs.iter().enumerate() {
        for (name, value) in settings {
            let name = format!("{prefix}{name}");
            let known = table.iter().position(|row| row.name == name);
            let row = known.unwrap_or_else(|| {
                table.push(Setting { name, values: vec![None; of_runs.len()], differs: false });
                table.len() - 1
            });
            table[row].values[at] = Some(value.clone());
        }
    }
    for row in &mut table {
        // A run without any of these settings says nothing about them.
        let told: Vec<_> = row.values.iter().zip(of_runs).filter(|(_, settings)| !settings.is_empty()).map(|(value, _)| value).collect();
        row.differs = told.windows(2).any(|pair| pair[0] != pair[1]);
    }
    table
}
