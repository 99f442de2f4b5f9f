//! The command line. One grammar: the command is a word anywhere, options come in any order.

mod combination;
mod own;

use std::path::{Path, PathBuf};

pub(crate) use combination::check_combination;
pub(crate) use own::{OWN, Own};

use stormfire_module::secrets::HIDDEN;
use stormfire_tuner::for_cli::MOST_JOBS;

use crate::{
    assign::Assignment,
    error::{Problem, Problems, Result},
    nearest::{almost, any_of, did_you_mean, nearest},
    quote,
    schema::Schema,
    source::{Origin, Source},
};

/// The command of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// Trains.
    #[default]
    Fit,
    /// Validates a checkpoint.
    Validate,
    /// Tests a checkpoint.
    Test,
    /// Predicts with a checkpoint.
    Predict,
    /// Finds a learning rate and a batch size.
    Tune,
    /// Searches for the best options over many fits.
    Sweep,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 6] = [Self::Fit, Self::Validate, Self::Test, Self::Predict, Self::Tune, Self::Sweep];

    const WITHOUT_PREDICT: [Self; 5] = [Self::Fit, Self::Validate, Self::Test, Self::Tune, Self::Sweep];

    /// Those of a program with a module.
    pub(crate) fn of_program(can_predict: bool) -> &'static [Self] {
        if can_predict { &Self::ALL } else { &Self::WITHOUT_PREDICT }
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Validate => "validate",
            Self::Test => "test",
            Self::Predict => "predict",
            Self::Tune => "tune",
            Self::Sweep => "sweep",
        }
    }
}

/// The output that a user requests in place of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Print {
    Help { all: bool },
    Config { docs: bool },
    Schema,
    Completion(String),
}

impl Print {
    /// The flag that requests it.
    pub(crate) fn flag(&self) -> &'static str {
        match self {
            Self::Help { .. } => "--help",
            Self::Config { .. } => "--print-config",
            Self::Schema => "--print-schema",
            Self::Completion(_) => "--completion",
        }
    }

    pub(crate) fn is_help(&self) -> bool {
        matches!(self, Self::Help { .. })
    }
}

/// A shorter name of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// Without hyphens before it.
    pub(crate) name: String,
    pub(crate) path: String,
    /// The value of an alias that takes none.
    pub(crate) fixed: Option<String>,
}

/// A command line in parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) command: Option<Command>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) ckpt_path: Option<String>,
    pub(crate) options: Vec<Assignment>,
    pub(crate) print: Option<Print>,
    pub(crate) dry_run: bool,
    /// Whether options have several values.
    pub(crate) multirun: bool,
    /// Processes at a time.
    pub(crate) jobs: Option<usize>,
    /// The words as they were typed, without secrets.
    pub(crate) shown: Vec<String>,
}

impl Line {
    /// Whether it requests a page of help, which goes before everything else.
    pub(crate) fn wants_help(&self) -> bool {
        self.print.as_ref().is_some_and(Print::is_help)
    }
}

/// The words of a program besides its options.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) aliases: &'a [Alias],
    /// A program without a module has none.
    pub(crate) commands: &'a [Command],
}

impl Words<'_> {
    /// A program without a module.
    pub(crate) const PLAIN: Words<'static> = Words { aliases: &[], commands: &[] };

    /// Whether the program has a module. Only then it has the flags of runs.
    pub(crate) fn has_runs(self) -> bool {
        !self.commands.is_empty()
    }

    /// Its flags that are not options.
    pub(crate) fn own(self) -> impl Iterator<Item = &'static Own> {
        OWN.iter().filter(move |own| self.has_runs() || !own.is_of_runs)
    }
}

/// Splits a command line. The values of options are not read yet.
pub(crate) fn parse(args: &[String], schema: &Schema, words: Words<'_>) -> Result<Line> {
    let (line, problems) = parse_all(args, schema, words);
    problems.into_result().map(|()| line)
}

/// As [`parse`], with the mistakes of all words. The line has the words without a mistake. A line with a request for
/// help has no mistakes: the page explains the words.
pub(crate) fn parse_all(args: &[String], schema: &Schema, words: Words<'_>) -> (Line, Problems) {
    let mut parser = Parser { args, next: 0, schema, words, line: Line::default() };
    let mut problems = Problems::default();
    while parser.next < args.len() && !problems.is_full() {
        let first = parser.next;
        let set = parser.line.options.len();
        if problems.note(parser.word()).is_none() {
            parser.pass_value(&args[first]);
            continue;
        }
        let is_secret = parser.line.options[set..].iter().any(|option| combination::is_secret(option, schema));
        for (index, word) in args[first..parser.next].iter().enumerate() {
            let shown = match word.split_once('=') {
                _ if !is_secret => word.clone(),
                Some((name, _)) if index == 0 => format!("{name}={HIDDEN}"),
                None if index == 0 => word.clone(),
                _ => HIDDEN.to_owned(),
            };
            parser.line.shown.push(shown);
        }
    }
    if parser.line.wants_help() {
        problems = Problems::default();
    }
    (parser.line, problems)
}

struct Parser<'a> {
    args: &'a [String],
    next: usize,
    schema: &'a Schema,
    words: Words<'a>,
    line: Line,
}

impl<'a> Parser<'a> {
    fn word(&mut self) -> Result<()> {
        let word = &self.args[self.next];
        self.next += 1;
        if let Some(flag) = word.strip_prefix("--") {
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            return self.flag(word, name, value);
        }
        if let Some(short) = word.strip_prefix('-')
            && !short.is_empty()
        {
            let own = self.words.own().find(|own| own.short.is_some_and(|own| short.starts_with(own)));
            let Some(own) = own else { return Err(self.unknown(word, short).into()) };
            let attached = Some(short[1..].trim_start_matches('=')).filter(|rest| !rest.is_empty());
            return self.own(own, word, attached);
        }
        if let Some((name, value)) = word.split_once('=') {
            if name.is_empty() {
                let message = "a word starts with `=`, without the name of an option";
                return Err(Problem::general(message).help("write `OPTION=VALUE`".to_owned()).into());
            }
            if let Some(alias) = self.alias(name) {
                return self.set_alias(alias, name, Some(value));
            }
            self.set(name, name, Some(value));
            return Ok(());
        }
        self.command(word)
    }

    /// Passes the word after one with a mistake, if it may be its value. It is not another mistake.
    fn pass_value(&mut self, word: &str) {
        let may_be = |next: &String| !next.contains('=') && self.command_of(next).is_none();
        if !word.contains('=') && self.args.get(self.next).is_some_and(may_be) {
            self.following();
        }
    }

    fn command(&mut self, word: &str) -> Result<()> {
        let shown = quote::name(word);
        let as_file = self.flag_of_file(word).map(|(flag, does)| format!("`{flag} {shown}` {does}"));
        let as_option =
            (word.contains('.') || self.schema.leaf(word).is_some()).then(|| format!("write `{shown}=VALUE` or `--{shown} VALUE`"));
        if !self.words.has_runs() {
            let help = as_file.or(as_option).unwrap_or_else(|| "`--help` lists the options".to_owned());
            return Err(Problem::general(format!("`{shown}` is not an option with a value")).help(help).into());
        }
        let Some(command) = self.command_of(word) else {
            let names = || self.words.commands.iter().map(|command| command.name());
            let near = as_file.or_else(|| did_you_mean(word, names())).or(as_option);
            let help = near.unwrap_or_else(|| format!("the commands are {}", any_of(names())));
            return Err(Problem::general(format!("there is no command `{shown}`")).help(help).into());
        };
        if let Some(other) = self.line.command.filter(|other| *other != command) {
            let message = format!("two commands: `{}` and `{}`", other.name(), command.name());
            return Err(Problem::general(message).help("give one of them".to_owned()).into());
        }
        self.line.command = Some(command);
        Ok(())
    }

    /// A program that cannot predict has the word `predict`, too: it refuses the command with a reason.
    fn command_of(&self, word: &str) -> Option<Command> {
        Command::ALL.into_iter().find(|command| self.words.has_runs() && command.name() == word)
    }

    /// The flag of a file that was given without one, and what the flag does.
    fn flag_of_file(&self, word: &str) -> Option<(&'static str, &'static str)> {
        let ending = Path::new(word).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        match ending.as_str() {
            "yaml" | "yml" | "toml" | "json" => Some(("-c", "reads a file")),
            "ckpt" if self.words.has_runs() => Some(("--ckpt-path", "starts from a checkpoint")),
            _ => None,
        }
    }

    fn flag(&mut self, word: &str, name: &str, value: Option<&'a str>) -> Result<()> {
        if let Some(own) = self.words.own().find(|own| own.name == name.replace('_', "-")) {
            return self.own(own, word, value);
        }
        if let Some(alias) = self.alias(name) {
            return self.set_alias(alias, &format!("--{name}"), value);
        }
        if !name.contains('.') && self.schema.leaf(name).is_none() {
            return Err(self.unknown(word, name).into());
        }
        let value = self.value_of(name, value);
        self.set(&format!("--{name}"), name, value);
        Ok(())
    }

    fn alias(&self, name: &str) -> Option<&'a Alias> {
        self.words.aliases.iter().find(|alias| alias.name == name)
    }

    fn set_alias(&mut self, alias: &'a Alias, typed: &str, value: Option<&'a str>) -> Result<()> {
        let value = match &alias.fixed {
            Some(_) if value.is_some() => {
                let problem = Problem::new(&Origin::Flag(typed.to_owned()).into(), "the flag takes no value");
                return Err(problem.help(format!("write `--{}=VALUE`", alias.path)).into());
            }
            Some(fixed) => Some(fixed.as_str()),
            None => self.value_of(&alias.path, value),
        };
        self.set(typed, &alias.path, value);
        Ok(())
    }

    fn unknown(&self, word: &str, name: &str) -> Problem {
        let flag = quote::name(word.split('=').next().unwrap_or(word));
        let own = self.words.own().map(|own| own.name).chain(self.words.aliases.iter().map(|alias| alias.name.as_str()));
        let last = |path: &'a str| path.rsplit('.').next().unwrap_or(path);
        let by_last_name = || {
            let near = almost(name, self.schema.leaves().map(|leaf| last(&leaf.path)))?;
            self.schema.leaves().find(|leaf| last(&leaf.path) == near).map(|leaf| leaf.path.clone())
        };
        let near = || self.with_points(name).or_else(|| nearest(name, own).map(str::to_owned)).or_else(by_last_name);
        // Any letter is near to any other one.
        let near = if name.chars().count() > 1 { near() } else { None };
        let help = match (near, self.without_value()) {
            (Some(near), _) => format!("did you mean `--{near}`?"),
            (None, Some(before)) => format!("if it is the value of `{before}`, write `{before}={}`", quote::name(word)),
            (None, None) => "`--help` lists the options".to_owned(),
        };
        Problem::general(format!("there is no flag `{flag}`")).help(help)
    }

    /// The option that was typed without the points in its name: `--model-hidden`.
    fn with_points(&self, name: &str) -> Option<String> {
        let plain = |path: &str| path.replace(['.', '-'], "_").to_lowercase();
        let mut paths = self.schema.leaves().map(|leaf| &leaf.path).filter(|path| path.contains('.'));
        paths.find(|path| plain(path) == plain(name)).cloned()
    }

    /// The option before this word, if it has no value and needs one.
    fn without_value(&self) -> Option<String> {
        let before = self.args.get(self.next.checked_sub(2)?)?;
        let option = self.line.options.last().filter(|option| option.text.is_none())?;
        let is_before = matches!(option.source.origin(), Origin::Flag(typed) if typed == before);
        let is_flag = self.schema.leaf(&option.path).is_some_and(|leaf| leaf.kinds.is_flag());
        (is_before && !is_flag).then(|| quote::name(before))
    }

    fn own(&mut self, own: &Own, word: &str, attached: Option<&str>) -> Result<()> {
        let value = match (own.value, attached) {
            (None, Some(_)) if own.choice.is_none() => {
                let name = word.split('=').next().unwrap_or(word);
                return Err(Problem::general(format!("the flag `{name}` takes no value")).into());
            }
            (Some(_), None) => self.following().map(str::to_owned),
            (_, attached) => attached.map(str::to_owned),
        };
        // An unset variable of a shell is not a value.
        let value = value.filter(|value| own.value.is_none() || !value.is_empty());
        let needed = |value: Option<String>| {
            let (flag, name) = (word.split('=').next().unwrap_or(word), own.value.unwrap_or("VALUE"));
            let problem = || Problem::general(format!("the flag `{flag}` has no value")).help(format!("write `--{} {name}`", own.name));
            value.ok_or_else(problem)
        };
        if let (Some(choice), Some(given)) = (own.choice, &value)
            && given != choice
        {
            let message = format!("`--{}={given}`: expected `{choice}`, or no value", own.name);
            return Err(Problem::general(message).help(did_you_mean(given, [choice])).into());
        }
        match own.name {
            "config" => self.line.files.push(needed(value)?.into()),
            "ckpt-path" => self.line.ckpt_path = Some(needed(value)?),
            "dry-run" => self.line.dry_run = true,
            "multirun" => self.line.multirun = true,
            "jobs" => {
                let text = needed(value)?;
                let jobs = text.parse::<usize>().ok().filter(|jobs| (1..=MOST_JOBS).contains(jobs));
                let expected = format!("expected a whole number from 1 to {MOST_JOBS}");
                let refused = || Problem::general(format!("`--jobs {}`: {expected}", quote::value(&text)));
                self.line.jobs = Some(jobs.ok_or_else(refused)?);
            }
            "print-schema" => self.ask(Print::Schema)?,
            "completion" => self.ask(Print::Completion(needed(value)?))?,
            "print-config" => self.ask(Print::Config { docs: value.is_none() })?,
            _ => self.ask(Print::Help { all: value.is_some() })?,
        }
        Ok(())
    }

    /// A request for help goes before all others. The last of several requests by one flag counts, as with options.
    fn ask(&mut self, print: Print) -> Result<()> {
        match &self.line.print {
            Some(before) if before.is_help() && !print.is_help() => {}
            Some(before) if before.flag() != print.flag() && !print.is_help() => {
                let message = format!("`{}` and `{}` print different things", before.flag(), print.flag());
                return Err(Problem::general(message).help("give one of them".to_owned()).into());
            }
            _ => self.line.print = Some(print),
        }
        Ok(())
    }

    fn value_of(&mut self, path: &str, attached: Option<&'a str>) -> Option<&'a str> {
        if attached.is_some() {
            return attached;
        }
        let is_flag = self.schema.leaf(path).is_some_and(|leaf| leaf.kinds.is_flag());
        let next = self.args.get(self.next)?;
        // `--trainer.barebones fit` has no value, but a command. For all other words, only the reader of values can
        // recognize a boolean: `--trainer.barebones 0` is refused as `--trainer.barebones=0` is.
        if is_flag && (next.contains('=') || self.command_of(next).is_some()) {
            return None;
        }
        self.following()
    }

    /// The next word, unless it is a flag. A negative number is not a flag.
    fn following(&mut self) -> Option<&'a str> {
        let word = self.args.get(self.next)?;
        let is_number = word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
        if word.len() > 1 && word.starts_with('-') && !is_number {
            return None;
        }
        self.next += 1;
        Some(word)
    }

    fn set(&mut self, typed: &str, path: &str, value: Option<&str>) {
        let source = Origin::Flag(typed.to_owned()).into();
        self.line.options.push(Assignment { path: path.to_owned(), text: value.map(str::to_owned), source });
    }
}

impl Problem {
    /// The values of several runs are shown.
    pub(crate) fn of_varied_secret(path: &str, source: &Source) -> Self {
        let message = format!("`{path}` is a secret, and the values of several runs are shown");
        Self::new(source, message).help("give it in the environment".to_owned())
    }

    /// Of several runs, the values of a section and of an option in it contradict each other.
    pub(crate) fn of_varied_part(whole: &str, part: &str, source: &Source) -> Self {
        let message = format!("`{whole}` has several values, and so has `{part}`, which is a part of it");
        Self::new(source, message).help(format!("give the options in `{whole}` several values, one by one"))
    }
}

#[cfg(test)]
mod tests;
