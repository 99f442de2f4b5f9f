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
    for_cli::{ProcessEnd, check_sweep, run_in_processes},
};

use crate::{
    args::Line,
    assign::{Assignment, last_of_each},
    children::{Job, ROOT, common_words, unwritable},
    error::{Problem, Result},
    layers::Layers,
    node::{Node, Tree},
    print::print_config,
    read,
    saved_config::differences,
    schema::{Schema, is_within},
    secret,
    source::{Origin, Source},
    tune, typed,
    values::{self, Values},
};

pub(crate) use config::SweepConfig;
pub(crate) use space::{Dimension, flag_text};

/// The name of the section.
pub(crate) const SECTION: &str = "sweep";

/// The option with the folder of a sweep.
pub(crate) const FOLDER: &str = "sweep.folder";

/// A sweep over the options of the program.
pub(crate) struct Plan {
    sweep: Sweep,
    folder: PathBuf,
    /// That of the folder.
    pub(crate) source: Source,
    /// The option that chooses the folder.
    pub(crate) place: &'static str,
    monitor: String,
    /// The number of trials.
    pub(crate) trials: usize,
    /// The words that all trials have.
    common: Vec<String>,
    jobs: usize,
    /// The options of all trials and of the sweep, without secrets.
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
        let is_own = [SECTION, tune::SECTION].iter().any(|section| is_within(&option.path, section));
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

/// Whether the complete section `sweep.space` of a configuration has an option of this section.
pub(crate) fn varies(config: &Node, section: &str) -> bool {
    let space = config.get([SECTION, "space"]).and_then(Node::fields);
    space.is_some_and(|space| space.keys().any(|path| is_within(path, section)))
}

/// Reads a section of a configuration as a run does.
pub(crate) type ReadSection<'a> = &'a dyn Fn(&Node, &str) -> Result<()>;

/// The plan of a configuration with a complete section `sweep`, which has no mistake. `layers` are those of all trials.
pub(crate) fn plan(line: &Line, layers: &Layers, config: &Node, header: &str, read: ReadSection<'_>) -> Result<Plan> {
    let schema = layers.schema();
    let empty = Node::empty(&Source::default_value());
    let section = config.get([SECTION]).unwrap_or(&empty);
    let options: SweepConfig = typed::read(section, SECTION)?;
    let dimensions = space::dimensions(section.get(["space"]).unwrap_or(&empty), schema)?;
    let root = config.get(ROOT.split('.'));
    let given = section.get(["folder"]).filter(|_| options.folder.is_some()).or(root);
    let folder = match &options.folder {
        Some(folder) if folder.as_os_str().is_empty() => {
            let problem = Problem::new(&source_of(given), format!("`{FOLDER}`: the name of the folder is empty"));
            return Err(problem.help("leave it out, or name a folder".to_owned()).into());
        }
        Some(folder) => folder.clone(),
        None => Path::new(root.and_then(Node::text).unwrap_or(".")).join(SECTION),
    };
    let folder = folder_on_disk(&folder, given, FOLDER)?.to_owned();
    let sweep = options.sweep(&dimensions, &folder, section)?;
    read(config, "trainer")?;
    check_values(layers, &dimensions, read)?;
    let config = without_sections(secret::without(config, schema), &[tune::SECTION]);
    check_config(&folder.join(CONFIG), &config)?;
    let place = if options.folder.is_some() { FOLDER } else { ROOT };
    let trials = check_sweep(&sweep).map_err(|error| mistake(error, section, (place, given)))?;
    let mut words = vec!["fit".to_owned()];
    words.extend(common_words(line));
    let passed = layers.given_flags().iter().filter(|option| !is_within(&option.path, SECTION));
    words.extend(passed.map(|option| match &option.text {
        Some(text) => format!("--{}={text}", option.path),
        None => format!("--{}", option.path),
    }));
    Ok(Plan {
        sweep,
        folder,
        source: source_of(given),
        place,
        monitor: options.monitor().to_owned(),
        trials,
        common: words,
        jobs: line.jobs.unwrap_or(1),
        config,
        schema: schema.clone(),
        header: header.to_owned(),
    })
}

/// A configuration without these sections.
fn without_sections(mut config: Node, sections: &[&str]) -> Node {
    if let Some(fields) = config.fields_mut() {
        fields.retain(|name, _| !sections.contains(&name.as_str()));
    }
    config
}

/// The path of a folder for the files of several runs, which is on a disk. It may be given as a `file://` URL.
pub(crate) fn folder_on_disk<'a>(folder: &'a Path, given: Option<&Node>, option: &str) -> Result<&'a Path> {
    storage::on_disk(folder).ok_or_else(|| {
        let message = format!("the folder `{}` is not on a disk", folder.display());
        Problem::new(&source_of(given), message).help(format!("choose one on a disk: `--{option}=FOLDER`")).into()
    })
}

/// The source of an option's value.
pub(crate) fn source_of(given: Option<&Node>) -> Source {
    given.map_or_else(Source::default_value, |node| node.source.clone())
}

/// Checks the values before anything runs, each with the first ones of the other options.
fn check_values(layers: &Layers, dimensions: &[Dimension], read: ReadSection<'_>) -> Result<()> {
    for (at, dimension) in dimensions.iter().enumerate() {
        let section = dimension.path.split('.').next().unwrap_or_default();
        for example in dimension.examples() {
            let value = |(index, other): (usize, &Dimension)| if index == at { Some(example.clone()) } else { other.examples().next() };
            let config = layers.clone().flags(dimensions.iter().enumerate().filter_map(value)).checked()?;
            read(&config, section)?;
        }
    }
    Ok(())
}

/// Checks the values of a line, and the options of a first trial. The layers are those of all trials.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_first(layers: &Layers, of_line: &Node) -> Result<()> {
    let source = Source::default_value();
    let space = Node::new(Tree::Map(space::flattened(&Node::empty(&source), Some(of_line))), &source);
    let dimensions = space::dimensions(&space, layers.schema())?;
    space::check_grid(&dimensions)?;
    let first = dimensions.iter().filter_map(|dimension| dimension.examples().next());
    layers.clone().flags(first).checked().map(drop)
}

/// The file with the options of all trials and of the sweep, in its folder. Each trial has one, too, with its options.
const CONFIG: &str = "config.yaml";

/// A sweep that continues has the options with which it was started. Its own options are compared when it starts.
fn check_config(path: &Path, config: &Node) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let of_trials = |config: Node| without_sections(config, &[SECTION]);
    let changed = differences(&of_trials(read::file(path)?), &of_trials(config.clone()));
    if changed.is_empty() {
        return Ok(());
    }
    let source = Source::from(Origin::File(path.to_owned()));
    let message = format!("the sweep in this folder was started with other options: {}", changed.join(", "));
    Err(Problem::new(&source, message).help("take those, or another folder: `--sweep.folder=FOLDER`".to_owned()).into())
}

/// The mistake in the section `sweep`, or in the choice of its folder by this option, that an error of the crate
/// `tuner` means.
fn mistake(error: Error, section: &Node, (place, folder): (&str, Option<&Node>)) -> Problem {
    let error = config::named(error);
    let (given, message, help) = match &error {
        Error::Config(refused) if refused.option != FOLDER => {
            (section.get([refused.option.strip_prefix("sweep.").unwrap_or_default()]), error.to_string(), error.hint())
        }
        Error::Config(refused) => (folder, format!("`{place}`: {}", refused.reason), error.hint()),
        _ => (folder, format!("`{place}`: {error}"), error.hint().or_else(|| Some("choose another folder".to_owned()))),
    };
    let problem = match given.filter(|given| !given.source.is_default()) {
        Some(given) => Problem::new(&given.source, message),
        None => Problem::general(message),
    };
    problem.help(help)
}

impl Plan {
    /// Runs the trials that are left. Returns what to print, and whether there is a best trial.
    pub(crate) fn run(&self, program: crate::children::Program<'_>) -> Result<(String, bool), Error> {
        self.write_config().map_err(|error| unwritable(FOLDER, &error))?;
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
        });
        let result = result.map_err(config::named)?;
        Ok((self.told(&result), result.best().is_some()))
    }

    /// Writes the options of all trials and of the sweep, unless it continues.
    fn write_config(&self) -> Result<(), Error> {
        let path = self.folder.join(CONFIG);
        if path.exists() {
            return Ok(());
        }
        fs_err::create_dir_all(&self.folder)?;
        let text = self.header.clone() + &print_config(&self.config, &self.schema, false);
        Ok(storage::write_bytes(&path, text.as_bytes())?)
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
        let config = self.folder.join(format!("trial_{number}")).join(CONFIG);
        if config.is_file() {
            let _ = writeln!(told, "all of its options: -c {}", stormfire_loggers::shell_word(&config.display().to_string()));
        }
        told
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
