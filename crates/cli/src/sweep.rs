//! The command `sweep`: a search over the options of the program. Each trial is a process with a folder.

mod config;
mod space;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stormfire_checkpoint::storage;
use stormfire_module::Error;
use stormfire_trainer::for_tuner::SignalWatch;
use stormfire_tuner::{
    Sweep, SweepResult,
    for_cli::{ProcessEnd, run_in_processes},
};

use crate::{
    args::Line,
    assign::{Assignment, last_of_each},
    children::{Job, ROOT, common_words},
    error::{Error as Mistake, Problem, Result},
    layers::Layers,
    node::{Node, Tree},
    print::print_config,
    read,
    saved_config::differences,
    schema::Schema,
    secret,
    source::{Origin, Source},
    typed,
    values::{self, Values},
};

pub(crate) use config::SweepConfig;
pub(crate) use space::{Dimension, flag_text};

/// The name of the section.
pub(crate) const SECTION: &str = "sweep";

/// A sweep over the options of the program.
pub(crate) struct Plan {
    sweep: Sweep,
    folder: PathBuf,
    monitor: String,
    /// The words that all trials have.
    common: Vec<String>,
    jobs: usize,
    /// The options of all trials, without secrets.
    config: Node,
    schema: Schema,
    /// The comments at the start of the configuration.
    header: String,
}

/// Divides the options of a line: those of all trials, and those with several values, as a layer with the section
/// `sweep.space`.
pub(crate) fn divide(options: &[Assignment]) -> Result<(Vec<Assignment>, Option<Node>)> {
    let (mut plain, mut layer) = (Vec::new(), None);
    for option in last_of_each(options) {
        let is_own = option.path == SECTION || option.path.starts_with("sweep.") || option.path.starts_with("tune.");
        let Some(text) = option.text.as_ref().filter(|_| !is_own) else {
            plain.push(option.clone());
            continue;
        };
        let source = &option.source;
        if let Values::Each(values) = values::of(text).map_err(|reason| Problem::new(source, reason))?
            && let [only] = values.as_slice()
        {
            plain.push(Assignment { text: Some(only.clone()), ..option.clone() });
            continue;
        }
        let layer = layer.get_or_insert_with(|| Node::empty(source));
        if let Some(fields) = layer.fields_mut() {
            fields.insert(option.path.clone(), Node::new(Tree::Text(text.clone()), source));
        }
    }
    Ok((plain, layer))
}

/// Completes the section `sweep.space` of a configuration with the values in a line. Its names become paths. An option
/// with one value in the line has that value in all trials, also if a file has several.
pub(crate) fn with_space(mut config: Node, of_line: Option<&Node>, fixed: &[Assignment]) -> Node {
    let source = config.source.clone();
    let Some(space) = config.fields_mut().and_then(|fields| fields.get_mut(SECTION)?.fields_mut()?.get_mut("space")) else { return config };
    let mut flat = space::flattened(space, of_line);
    let in_line = |path: &String| of_line.and_then(Node::fields).is_some_and(|fields| fields.contains_key(path));
    flat.retain(|path, _| in_line(path) || !fixed.iter().any(|option| option.path == *path));
    *space = Node::new(Tree::Map(flat), &source);
    config
}

/// The plan of a configuration with a complete section `sweep`. `layers` are those of all trials.
pub(crate) fn plan(line: &Line, layers: &Layers, config: &Node, header: &str) -> Result<Plan> {
    let schema = layers.schema();
    let empty = Node::empty(&Source::default_value());
    let section = config.get([SECTION]).unwrap_or(&empty);
    let options: SweepConfig = typed::read(section, SECTION)?;
    let dimensions = space::dimensions(section.get(["space"]).unwrap_or(&empty), schema)?;
    check_values(layers, &dimensions)?;
    let root = config.get(ROOT.split('.'));
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => Path::new(root.and_then(Node::text).unwrap_or(".")).join(SECTION),
    };
    let given = section.get(["folder"]).filter(|_| options.folder.is_some()).or(root);
    let folder = folder_on_disk(&folder, given, "sweep.folder")?.to_owned();
    if options.trials == Some(0) {
        let source = section.get(["trials"]).map_or(&section.source, |node| &node.source);
        return Err(Problem::new(source, "`sweep.trials`: a sweep has at least one trial").into());
    }
    let sweep = options.sweep(&dimensions, &folder).map_err(|reason| Problem::new(&section.source, reason))?;
    let mut words = vec!["fit".to_owned()];
    words.extend(common_words(line));
    let passed = layers.given_flags().iter().filter(|option| option.path != SECTION && !option.path.starts_with("sweep."));
    words.extend(passed.map(|option| match &option.text {
        Some(text) => format!("--{}={text}", option.path),
        None => format!("--{}", option.path),
    }));
    Ok(Plan {
        sweep,
        folder,
        monitor: options.monitor().to_owned(),
        common: words,
        jobs: line.jobs.unwrap_or(1),
        config: without_commands(secret::without(config, schema)),
        schema: schema.clone(),
        header: header.to_owned(),
    })
}

/// The configuration of a run: in its folder, or in that of its logger below.
fn config_below(folder: &Path, depth: usize) -> Option<PathBuf> {
    let own = folder.join("config.yaml");
    if own.is_file() {
        return Some(own);
    }
    let mut folders: Vec<PathBuf> = fs_err::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.iter().filter(|_| depth > 0).find_map(|folder| config_below(folder, depth - 1))
}

/// A configuration without the sections of commands that do not run now.
pub(crate) fn without_commands(mut config: Node) -> Node {
    if let Some(fields) = config.fields_mut() {
        fields.retain(|name, _| name != SECTION && name != "tune");
    }
    config
}

/// The path of a folder for the files of several runs, which is on a disk. It may be given as a `file://` URL.
pub(crate) fn folder_on_disk<'a>(folder: &'a Path, given: Option<&Node>, option: &str) -> Result<&'a Path> {
    storage::on_disk(folder).ok_or_else(|| {
        let source = given.map_or_else(Source::default_value, |node| node.source.clone());
        let message = format!("the folder `{}` is not on a disk", folder.display());
        Problem::new(&source, message).help(format!("choose one on a disk: `--{option}=FOLDER`")).into()
    })
}

/// Compares each value with the schema, before anything runs.
fn check_values(layers: &Layers, dimensions: &[Dimension]) -> Result<()> {
    let with = |layers: Layers, dimension: &Dimension, text: &str| {
        let source = dimension.source.clone();
        layers.flags([Assignment { path: dimension.path.clone(), text: Some(text.to_owned()), source }])
    };
    let base = dimensions.iter().fold(layers.clone(), |layers, dimension| match dimension.examples.first() {
        Some(first) => with(layers, dimension, first),
        None => layers,
    });
    base.checked()?;
    for dimension in dimensions {
        for text in dimension.examples.iter().skip(1) {
            with(base.clone(), dimension, text).checked()?;
        }
    }
    Ok(())
}

impl Plan {
    /// Runs the trials that are left. Returns what to print, and whether there is a best trial.
    pub(crate) fn run(&self, program: crate::children::Program<'_>) -> Result<(String, bool), Error> {
        self.write_config()?;
        let watch = SignalWatch::install(None);
        let result = run_in_processes(&self.sweep, self.jobs, |task| {
            let options = task.params().iter().map(|(path, value)| format!("--{path}={}", flag_text(path, value, &self.schema)));
            let words = self.common.iter().cloned().chain(options).collect();
            let job = Job { program, words, folder: task.folder(), is_quiet: self.jobs > 1, is_dry: false, trial: Some(task) };
            let status = job.run(&watch)?;
            if let Some(signal) = watch.received() {
                return Err(signal.into());
            }
            Ok(if status.success() { ProcessEnd::Good } else { ProcessEnd::Bad(job.ending(status)) })
        })?;
        Ok((self.told(&result), result.best().is_some()))
    }

    /// The best trial, and how to use it.
    fn told(&self, result: &SweepResult) -> String {
        let Some((best, score)) = result.best().and_then(|best| Some((best, best.score?))) else {
            return format!("no trial in {} has a score\n", self.folder.display());
        };
        let flag = |(path, value): (&String, &Value)| {
            format!(" --{path}={}", stormfire_loggers::shell_word(&flag_text(path, value, &self.schema)))
        };
        let flags: String = best.params.iter().map(flag).collect();
        let number = best.number;
        let mut told = format!("best: trial {number} with {} {score}:{flags}\n", self.monitor);
        if let Some(config) = config_below(&self.folder.join(format!("trial_{number}")), 3) {
            let _ = writeln!(told, "all of its options: -c {}", stormfire_loggers::shell_word(&config.display().to_string()));
        }
        told
    }

    /// A sweep that continues has the options with which it was started.
    fn write_config(&self) -> Result<(), Error> {
        let path = self.folder.join("config.yaml");
        let Ok(before) = read::file(&path) else {
            fs_err::create_dir_all(&self.folder)?;
            fs_err::write(path, self.header.clone() + &print_config(&self.config, &self.schema, false))?;
            return Ok(());
        };
        let changed = differences(&before, &self.config);
        if changed.is_empty() {
            return Ok(());
        }
        let source = Source::from(Origin::File(path));
        let message = format!("the sweep in this folder was started with other options: {}", changed.join(", "));
        let help = "take those, or another folder: `--sweep.folder=FOLDER`".to_owned();
        Err(Mistake::from(Problem::new(&source, message).help(help)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_have_a_folder_on_a_disk() {
        let found = |folder: &'static str| folder_on_disk(Path::new(folder), None, ROOT).ok();
        for (folder, path) in [("runs", "runs"), ("runs/s3://x", "runs/s3://x"), ("file:///runs", "/runs")] {
            assert_eq!(found(folder), Some(Path::new(path)), "{folder}");
        }
        assert_eq!(found("s3://bucket/runs"), None);
    }
}
