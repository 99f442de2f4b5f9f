//! Several runs of the program with different options: `-m model.lr=1e-3,1e-2 model.hidden=32,64`.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use stormfire_trainer::for_tuner::SignalWatch;
use stormfire_tuner::for_cli::work_off;

use crate::{
    args::Line,
    assign::{Assignment, last_of_each},
    children::{Job, Program, ROOT, common_words, new_folder, unwritable},
    error::{Problem, Result},
    nearest::any_of,
    quote,
    schema::nested,
    values::{self, MOST, Values},
};

/// The runs of one line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The words that all runs have.
    common: Vec<String>,
    /// The words of each run.
    runs: Vec<Vec<String>>,
    /// The options in the order of the line.
    order: Vec<String>,
    jobs: usize,
    root: PathBuf,
    /// Whether the runs write nothing.
    is_dry: bool,
}

/// Every combination of the values in a line. The last option changes fastest.
pub(crate) fn plan(line: &Line, root: PathBuf) -> Result<Plan> {
    if line.print.is_some() {
        return Err(Problem::general("`--multirun` runs, and cannot be combined with `--print-config`").into());
    }
    let mut common: Vec<String> = line.command.iter().map(|command| command.name().to_owned()).collect();
    common.extend(common_words(line));
    let mut runs: Vec<Vec<String>> = vec![Vec::new()];
    let (mut order, mut varied) = (Vec::new(), Vec::new());
    for option in last_of_each(&line.options) {
        order.push(option.path.clone());
        let words = match &option.text {
            None => vec![format!("--{}", option.path)],
            Some(text) => {
                let Values::Each(values) = values::of(text).map_err(|reason| Problem::new(&option.source, reason))? else {
                    let help = "`--multirun` needs a list; the command `sweep` draws from a range".to_owned();
                    let message = format!("`{}` has any number of values", quote::value(text));
                    return Err(Problem::new(&option.source, message).help(help).into());
                };
                values.into_iter().map(|value| format!("--{}={value}", option.path)).collect()
            }
        };
        if let [word] = words.as_slice() {
            common.push(word.clone());
            continue;
        }
        varied.push(option.path.as_str());
        if let Some((whole, part)) = nested(&varied) {
            return Err(Problem::of_varied_part(varied[whole], varied[part], &option.source).into());
        }
        if runs.len().saturating_mul(words.len()) > MOST {
            return Err(Problem::new(&option.source, format!("these are more than {MOST} runs")).into());
        }
        runs = runs.iter().flat_map(|run| words.iter().map(move |word| [run.as_slice(), std::slice::from_ref(word)].concat())).collect();
    }
    if varied.is_empty() {
        let help = "give an option several values, such as `model.lr=1e-3,1e-2`".to_owned();
        return Err(Problem::general("`--multirun`: no option has several values").help(help).into());
    }
    if varied.contains(&ROOT) {
        return Err(Problem::general(format!("`--multirun`: each run has its own folder, so {} has one value", any_of([ROOT]))).into());
    }
    Ok(Plan { common, runs, order, jobs: line.jobs.unwrap_or(1).max(1), root, is_dry: line.dry_run })
}

impl Plan {
    /// The options of a line as each run gets them.
    pub(crate) fn options_of_runs(&self, options: &[Assignment]) -> impl Iterator<Item = Vec<Assignment>> {
        self.runs.iter().map(|run| {
            let text_of = |path: &str| {
                let mut words = run.iter().chain(&self.common);
                words.find_map(|word| word.strip_prefix("--")?.strip_prefix(path)?.strip_prefix('=')).map(str::to_owned)
            };
            options.iter().map(|option| Assignment { text: text_of(&option.path).or(option.text.clone()), ..option.clone() }).collect()
        })
    }

    /// The words of a run. The order of its options is that of the line: a later `--crop=null` takes `crop.size` away.
    pub(crate) fn words(&self, number: usize) -> Vec<String> {
        let is_of = |word: &str, path: &String| {
            let rest = word.strip_prefix("--").and_then(|word| word.strip_prefix(path.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let mut words: Vec<String> = self.common.iter().chain(&self.runs[number]).cloned().collect();
        words.sort_by_cached_key(|word| self.order.iter().position(|path| is_of(word, path)));
        words
    }

    /// Runs them in child processes. Returns a table, and whether all have ended well.
    pub(crate) fn run(&self, program: Program<'_>) -> Result<(String, bool), stormfire_module::Error> {
        let made = if self.is_dry { None } else { Some(new_folder(&self.root, "multirun").map_err(|error| unwritable(ROOT, &error))?) };
        let folder = made.as_ref().map_or_else(|| self.root.join("multirun_K"), |made| made.path.clone());
        let watch = SignalWatch::install(None);
        let folder_of = |number: usize| folder.join(format!("job_{number}"));
        let left = Mutex::new(0..self.runs.len());
        let ends = Mutex::new(vec!["not started".to_owned(); self.runs.len()]);
        let next = || Ok(left.lock().unwrap_or_else(PoisonError::into_inner).next().filter(|_| watch.received().is_none()));
        let work = |number: usize| {
            let words = self.words(number);
            let job = Job { program, words, folder: folder_of(number), is_quiet: self.jobs > 1, is_dry: self.is_dry, trial: None };
            let end = match job.run(&watch)?.code() {
                Some(0) => GOOD.to_owned(),
                Some(INTERRUPTED | TERMINATED) if watch.received().is_some() => "interrupted".to_owned(),
                Some(code) => format!("exit code {code}"),
                None => "killed".to_owned(),
            };
            ends.lock().unwrap_or_else(PoisonError::into_inner)[number] = end;
            Ok(())
        };
        work_off(self.jobs.min(self.runs.len()), next, work)?;
        if let Some(made) = made {
            // This succeeds only for empty folders, which belong to runs that failed to start.
            (0..self.runs.len()).map(folder_of).for_each(|unused| drop(std::fs::remove_dir(unused)));
            made.remove_unused();
        }
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        let verb = if self.is_dry { " would be" } else { "" };
        let mut table = format!("{} runs{verb} in {}\n", self.runs.len(), folder.display());
        for (number, (words, end)) in self.runs.iter().zip(&ends).enumerate() {
            let words: Vec<&str> = words.iter().map(|word| word.trim_start_matches('-')).collect();
            let _ = writeln!(table, "job_{number}  {}  {end}", words.join(" "));
        }
        Ok((table, ends.iter().all(|end| end == GOOD)))
    }
}

/// The exit codes of a run after Ctrl-C, and after SIGTERM, with which [`crate::children`] ends a run whose parent has
/// received any signal.
const INTERRUPTED: i32 = 128 + signal_hook::consts::SIGINT;
const TERMINATED: i32 = 128 + signal_hook::consts::SIGTERM;

/// The end of a run without an error.
const GOOD: &str = "good";

#[cfg(test)]
mod tests;
