//! `cargo xtask test`: runs the steps one after another and prints a summary.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::step::{Step, Verdict};
use crate::steps::{FULL_STEPS, STEPS};
use crate::system::{self, Workspace};

/// The steps of `cargo xtask check`.
pub(crate) const QUICK: &[&str] = &["fmt", "tidy", "typos", "deny", "package", "clippy"];

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run only this step. Can be given several times.
    #[arg(long, value_name = "NAME", value_parser = step_names(), conflicts_with = "skip")]
    only: Vec<String>,
    /// Leave this step out. Can be given several times. Refused under CI.
    #[arg(long, value_name = "NAME", value_parser = step_names())]
    skip: Vec<String>,
    /// Also run the steps that take too long for every change.
    #[arg(long)]
    full: bool,
    /// Print the names of the steps and what they check, and run nothing.
    #[arg(long)]
    list: bool,
}

impl Options {
    pub(crate) fn only(names: &[&str]) -> Self {
        Self { only: names.iter().map(ToString::to_string).collect(), ..Self::default() }
    }
}

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(all().map(|step| step.name))
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The note names a part that did not run.
    Passed(String),
    Failed(String),
    Skipped(String),
}

struct Report {
    step: &'static str,
    outcome: Outcome,
    time: Duration,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if options.list {
        for step in STEPS {
            println!("{:<12}{}", step.name, step.about);
        }
        println!("\nwith `--full`, too:");
        for step in FULL_STEPS {
            println!("{:<12}{}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ci = system::is_ci();
    if ci && !options.skip.is_empty() {
        bail!("`--skip` is refused under CI, where nothing may be skipped");
    }
    let reports: Vec<Report> = selected(options).map(|step| run_step(workspace, step, options, ci)).collect();
    Ok(conclude(&reports))
}

fn all() -> impl Iterator<Item = &'static Step> {
    STEPS.iter().chain(FULL_STEPS)
}

/// A step that is named with `--only` runs without `--full`.
fn selected(options: &Options) -> impl Iterator<Item = &'static Step> {
    let by_default = if options.full { STEPS.len() + FULL_STEPS.len() } else { STEPS.len() };
    all()
        .enumerate()
        .filter(move |(index, step)| match options.only.as_slice() {
            [] => *index < by_default,
            only => only.iter().any(|name| name == step.name),
        })
        .map(|(_, step)| step)
}

fn run_step(workspace: &Workspace, step: &Step, options: &Options, ci: bool) -> Report {
    println!("\n==> {}: {}", step.name, step.about);
    let start = Instant::now();
    let result = if options.skip.iter().any(|name| name == step.name) {
        Ok(Verdict::Skipped("left out by `--skip`".to_owned()))
    } else {
        (step.body)(workspace)
    };
    let report = Report { step: step.name, outcome: judge(result, ci), time: start.elapsed() };
    println!("{}", line(&report));
    report
}

fn judge(result: Result<Verdict>, ci: bool) -> Outcome {
    match result {
        Ok(Verdict::Passed) => Outcome::Passed(String::new()),
        Ok(Verdict::PassedExcept(note)) => Outcome::Passed(note),
        Ok(Verdict::Skipped(reason)) if ci => Outcome::Failed(format!("skipped, which CI does not allow: {reason}")),
        Ok(Verdict::Skipped(reason)) => Outcome::Skipped(reason),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn line(report: &Report) -> String {
    let (word, note) = match &report.outcome {
        Outcome::Passed(note) => ("passed", note.as_str()),
        Outcome::Failed(why) => ("FAILED", why.as_str()),
        Outcome::Skipped(why) => ("skipped", why.as_str()),
    };
    let seconds = report.time.as_secs_f64();
    format!("{:<12}{word:<9}{seconds:>7.1} s  {}", report.step, note.replace('\n', "\n    ")).trim_end().to_owned()
}

fn conclude(reports: &[Report]) -> ExitCode {
    println!("\n==> summary");
    for report in reports {
        println!("{}", line(report));
    }
    let count = |wanted: fn(&Outcome) -> bool| reports.iter().filter(|report| wanted(&report.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_skip_is_a_failure_under_ci_only() {
        let skip = || Ok(Verdict::Skipped("no npm".to_owned()));
        assert_eq!(judge(skip(), false), Outcome::Skipped("no npm".to_owned()));
        assert_eq!(judge(skip(), true), Outcome::Failed("skipped, which CI does not allow: no npm".to_owned()));
        assert_eq!(judge(Ok(Verdict::Passed), true), Outcome::Passed(String::new()));
        assert_eq!(judge(Ok(Verdict::PassedExcept("no database".to_owned())), true), Outcome::Passed("no database".to_owned()));
        let broken = Err(anyhow!("disk full").context("could not write"));
        assert_eq!(judge(broken, false), Outcome::Failed("could not write: disk full".to_owned()));
    }

    #[test]
    fn one_failure_fails_the_whole_but_a_skip_does_not() {
        let report = |outcome| Report { step: "fmt", outcome, time: Duration::from_millis(1500) };
        let reports = [report(Outcome::Passed(String::new())), report(Outcome::Skipped(String::new()))];
        assert_eq!(conclude(&reports), ExitCode::SUCCESS);
        let reports = [report(Outcome::Failed("a\nb".to_owned())), report(Outcome::Passed(String::new()))];
        assert_eq!(conclude(&reports), ExitCode::FAILURE);
        assert_eq!(line(&reports[0]), "fmt         FAILED       1.5 s  a\n    b");
    }

    #[test]
    fn names_of_steps_are_unique_and_the_quick_ones_exist() {
        let mut names: Vec<_> = all().map(|step| step.name).collect();
        assert_eq!(selected(&Options::only(QUICK)).count(), QUICK.len());
        assert_eq!(selected(&Options::only(&["fresh"])).count(), 1);
        assert_eq!(selected(&Options::default()).count(), STEPS.len());
        assert_eq!(selected(&Options { full: true, ..Options::default() }).count(), names.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len() + FULL_STEPS.len());
    }
}
