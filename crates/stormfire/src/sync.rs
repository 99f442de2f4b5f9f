//! `stormfire sync`: sends the records that tracking servers did not receive during their runs.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use stormfire::loggers::SpooledRun;

use crate::convert::explain;

#[derive(Args)]
pub(crate) struct Options {
    /// The folders to search, with their subfolders: folders of runs, or a spool that a warning has named.
    #[arg(default_value = ".")]
    folders: Vec<PathBuf>,
    /// Only list the waiting records.
    #[arg(long)]
    dry_run: bool,
    /// Give up on a run after this number of seconds without a delivery.
    #[arg(long, default_value_t = 30)]
    patience: u64,
}

/// Sends the records of every run and reports each run to `out`.
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Result<String, String> {
    let mut runs: Vec<SpooledRun> = Vec::new();
    for folder in &options.folders {
        runs.extend(SpooledRun::find(folder).map_err(|error| explain(&error))?);
    }
    runs.sort_by(|left, right| left.folder().cmp(right.folder()));
    runs.dedup_by(|one, other| one.folder() == other.folder());
    let mut left = 0;
    for run in &runs {
        let (tracker, name, server, records) = (run.tracker(), run.name(), run.server(), run.records());
        // Records are sent even if the output cannot be written.
        let damaged = if run.damaged() > 0 { format!(" ({} more are damaged)", run.damaged()) } else { String::new() };
        let _ = writeln!(out, "{tracker}: {records} records{damaged} of `{name}` for {server}, in `{}`", run.folder().display());
        if options.dry_run {
            continue;
        }
        let outcome = run.deliver(Duration::from_secs(options.patience));
        left += usize::from(outcome.is_err());
        let _ = match outcome {
            Ok(delivery) => writeln!(out, "  {delivery}"),
            Err(error) => write!(out, "{}", explain(&error).lines().fold(String::new(), |text, line| text + "  " + line + "\n")),
        };
    }
    match (runs.len(), left) {
        (0, _) => Ok("nothing waits\n".to_owned()),
        (_, 0) => Ok(String::new()),
        (all, left) => Err(format!("error: not everything of {left} of {all} runs was delivered\n")),
    }
}

#[cfg(test)]
#[cfg(feature = "mlflow")]
mod tests {
    use std::net::TcpListener;

    use stormfire::loggers::{Logger as _, MlflowLogger, Status};

    use super::*;

    fn sync(folder: PathBuf, dry_run: bool) -> (Result<String, String>, String) {
        let mut out = Vec::new();
        let outcome = run(&Options { folders: vec![folder.clone(), folder], dry_run, patience: 0 }, &mut out);
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn waiting_runs_are_listed_and_undelivered_records_are_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sync(folder.path().to_owned(), false), (Ok("nothing waits\n".to_owned()), String::new()));
        // Nothing answers at this address.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", silent.local_addr().unwrap());
        let mut logger =
            MlflowLogger::new().tracking_uri(&server).run_name("first").save_dir(folder.path()).patience(std::time::Duration::ZERO);
        logger.log_metrics(&[("loss", 0.5)].into(), Some(0)).unwrap();
        logger.finalize(Status::Success).unwrap();
        let (outcome, listed) = sync(folder.path().to_owned(), true);
        assert_eq!(outcome, Ok(String::new()));
        let shown = |text: &str| text.replace(&server, "[server]").replace(&folder.path().display().to_string(), "[folder]");
        // The name of the spool's folder.
        let filters = [(r"\[folder\]/[^`]*", "[folder]/[spool]")];
        insta::with_settings!({ filters => filters }, {
            insta::assert_snapshot!(shown(&listed), @"mlflow: 2 records of `lightning_logs/first` for [server], in `[folder]/[spool]`");
        });
        let (outcome, told) = sync(folder.path().to_owned(), false);
        assert_eq!(outcome, Err("error: not everything of 1 of 1 runs was delivered\n".to_owned()));
        insta::with_settings!({ filters => filters }, {
            insta::assert_snapshot!(shown(&told), @r"
            mlflow: 2 records of `lightning_logs/first` for [server], in `[folder]/[spool]`
              error: logger `lightning_logs`: the server did not answer in time (0 delivered, 2 spooled, 0 refused)
              hint: check the server and its address; waiting records are kept and `stormfire sync` sends them; without `strict` a training continues
            ");
        });
    }

    #[test]
    fn a_damaged_line_is_a_failure_until_its_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://me:pa55word@{}/?token=q9query", silent.local_addr().unwrap());
        let mut logger = MlflowLogger::new().tracking_uri(&server).save_dir(folder.path()).patience(Duration::ZERO);
        logger.log_metrics(&[("loss", 0.5)].into(), Some(0)).unwrap();
        logger.finalize(Status::Success).unwrap();
        let run = SpooledRun::find(folder.path()).unwrap().remove(0);
        let kept = run.folder().join("damaged.jsonl");
        std::fs::write(&kept, "#\n").unwrap();
        let (_, listed) = sync(folder.path().to_owned(), true);
        assert!(listed.contains("mlflow: 2 records (1 more are damaged) of `"), "{listed}");
        assert!(!listed.contains("pa55word") && !listed.contains("q9query"), "{listed}");
        std::fs::remove_dir_all(run.folder()).unwrap();
        std::fs::create_dir_all(run.folder()).unwrap();
        std::fs::write(kept, "#\n").unwrap();
        let (outcome, told) = sync(folder.path().to_owned(), false);
        assert!(outcome.is_err() && told.starts_with("mlflow: 0 records (1 more are damaged) of `"), "{told}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let (outcome, _) = sync(PathBuf::from("no/such/folder"), false);
        insta::assert_snapshot!(outcome.unwrap_err(), @"error: failed to read directory `no/such/folder`: No such file or directory (os error 2)");
    }
}
