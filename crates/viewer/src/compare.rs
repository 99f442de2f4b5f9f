//! The settings of several runs, next to each other.

use crate::runs::Run;

/// A setting with its value in each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    /// `None` for a run without it.
    pub(crate) values: Vec<Option<String>>,
    pub(crate) differs: bool,
    /// An option of the Trainer that has its default in all runs.
    pub(crate) is_default: bool,
}

/// The hyperparameters, the options of the program, and those of the Trainer. Those that differ come first, and the
/// defaults of the Trainer last.
pub(crate) fn settings(runs: &[&Run]) -> Vec<Setting> {
    let hparams: Vec<_> = runs.iter().map(|run| run.hparams()).collect();
    let options: Vec<_> = runs.iter().map(|run| run.options()).collect();
    let trainer: Vec<_> = runs.iter().map(|run| run.trainer().to_vec()).collect();
    let mut table = rows(&hparams);
    table.extend(rows(&options));
    let mut of_trainer = rows(&trainer);
    for row in &mut of_trainer {
        let mut of_runs = runs.iter().zip(&row.values);
        row.is_default = !row.differs && of_runs.all(|(run, value)| value.is_none() || run.is_default(&row.name));
        row.name.insert_str(0, "trainer.");
    }
    table.extend(of_trainer);
    table.sort_by_key(|row| (!row.differs, row.is_default));
    table
}

fn rows(of_runs: &[Vec<(String, String)>]) -> Vec<Setting> {
    let mut table: Vec<Setting> = Vec::new();
    for (at, settings) in of_runs.iter().enumerate() {
        for (name, value) in settings {
            let known = table.iter().position(|row| row.name == *name);
            let row = known.unwrap_or_else(|| {
                table.push(Setting { name: name.clone(), values: vec![None; of_runs.len()], differs: false, is_default: false });
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
