//! Several runs of the program with different options: `-m model.lr=1e-3,1e-2 model.hidden=32,64`.

mod values;

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    args::Line,
    error::{Problem, Result},
    nearest::any_of,
};

/// The most runs of one line.
const MOST: usize = 10_000;

/// The option with the folder of a run.
pub(crate) const ROOT: &str = "trainer.default_root_dir";

/// The runs of one line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The words that all runs have.
    common: Vec<String>,
    /// The words of each run.
    runs: Vec<Vec<String>>,
    jobs: usize,
    root: PathBuf,
}

/// Every combination of the values in a line. The last option changes fastest.
pub(crate) fn plan(line: &Line, root: PathBuf) -> Result<Plan> {
    if line.print.is_some() {
        return Err(Problem::general("`--multirun` runs, and cannot be combined with `--print-config`").into());
    }
    let mut common: Vec<String> = line.command.iter().map(|command| command.name().to_owned()).collect();
    common.extend(line.files.iter().map(|file| format!("--config={}", file.display())));
    common.extend(line.ckpt_path.iter().map(|path| format!("--ckpt-path={path}")));
    common.extend(line.dry_run.then(|| "--dry-run".to_owned()));
    let mut runs: Vec<Vec<String>> = vec![Vec::new()];
    let mut varied = Vec::new();
    for option in &line.options {
        let words = match &option.text {
            None => vec![format!("--{}", option.path)],
            Some(text) => {
                let values = values::of(text).map_err(|reason| Problem::new(&option.source, reason))?;
                values.into_iter().map(|value| format!("--{}={value}", option.path)).collect()
            }
        };
        if let [word] = words.as_slice() {
            common.push(word.clone());
            continue;
        }
        varied.push(option.path.as_str());
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
        return Err(Problem::general(format!("`--multirun`: each run has a folder of its own, so {} has one value", any_of([ROOT]))).into());
    }
    Ok(Plan { common, runs, jobs: line.jobs.unwrap_or(1).max(1), root })
}

impl Plan {
    /// Runs them in child processes. Returns a table, and whether all have ended well.
    pub(crate) fn run(&self, program: &Path) -> io::Result<(String, bool)> {
        let folder = new_folder(&self.root)?;
        let mut waiting = self.runs.iter().enumerate();
        let mut active: Vec<(usize, Child)> = Vec::new();
        let mut codes = vec![None; self.runs.len()];
        loop {
            while active.len() < self.jobs
                && let Some((number, words)) = waiting.next()
            {
                active.push((number, self.start(program, &folder.join(format!("job_{number}")), words)?));
            }
            if active.is_empty() {
                break;
            }
            // The oldest first: others that end meanwhile are found right after it.
            let (number, mut child) = active.remove(0);
            if self.jobs == 1 || active.is_empty() {
                codes[number] = child.wait()?.code();
            } else if let Some(status) = child.try_wait()? {
                codes[number] = status.code();
            } else {
                active.push((number, child));
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        let mut table = format!("{} runs in {}\n", self.runs.len(), folder.display());
        for (number, (words, code)) in self.runs.iter().zip(&codes).enumerate() {
            let end = code.map_or_else(|| "killed".to_owned(), |code| if code == 0 { "good".into() } else { format!("exit code {code}") });
            let words: Vec<&str> = words.iter().map(|word| word.trim_start_matches('-')).collect();
            let _ = writeln!(table, "job_{number}  {}  {end}", words.join(" "));
        }
        Ok((table, codes.iter().all(|code| *code == Some(0))))
    }

    fn start(&self, program: &Path, folder: &Path, words: &[String]) -> io::Result<Child> {
        fs_err::create_dir_all(folder)?;
        let mut command = Command::new(program);
        command.args(&self.common).args(words).arg(format!("--{ROOT}={}", folder.display()));
        if self.jobs > 1 {
            // Several progress bars on one screen tear each other.
            let log = fs_err::File::create(folder.join("output.log"))?;
            command.stdin(Stdio::null()).stderr(log.try_clone()?.into_parts().0).stdout(log.into_parts().0);
        }
        command.spawn()
    }
}

/// The next free `multirun_K`. Only one process creates it.
fn new_folder(root: &Path) -> io::Result<PathBuf> {
    fs_err::create_dir_all(root)?;
    let mut number = 0;
    loop {
        let folder = root.join(format!("multirun_{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
