//! The environment of the tasks: folders, installed programs, and functions that run them.

use std::env;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::echo;

/// The folders of this checkout.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder. Respects `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the xtask package has no parent folder")?.to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
        Ok(Self { root, target })
    }

    /// The cargo that started this program, in the root of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if is_ci() {
            command.envs(SMALL_BUILD);
        }
        command
    }

    /// A program that runs in the root of the workspace.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        // `cargo run` sets variables about the xtask package. If cargo inherited them, it would run build scripts again
        // and recompile their dependents, here and in the developer's next `cargo test`.
        for (name, _) in env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                command.env_remove(name);
            }
        }
        command
    }

    /// A script of `xtask/python`, run by the given interpreter.
    pub(crate) fn script(&self, python: &Path, name: &str) -> Command {
        let mut command = self.command(python);
        // Some scripts start cargo.
        if is_ci() {
            command.envs(SMALL_BUILD);
        }
        command.arg(Path::new("xtask/python").join(name));
        command
    }
}

/// CI builds once, so it needs neither the files of an incremental build nor debug information. They are 10 GB.
const SMALL_BUILD: [(&str, &str); 2] = [("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "none")];

/// All packages with all features for a CPU, so that steps share their builds. If one step built one package with fewer
/// features, cargo would compile burn again.
pub(crate) const ALL: [&str; 3] = ["--workspace", "--features", "stormfire-examples/trackers,stormfire-examples/vision"];

/// Builds programs like the step `test`, so little is left to build. Returns the folder of the programs. The examples
/// are in its subfolder `examples`.
pub(crate) fn build(workspace: &Workspace, targets: &[&str]) -> Result<PathBuf> {
    run(workspace.cargo().args(["build", "--quiet"]).args(ALL).args(targets))?;
    Ok(workspace.target.join("debug"))
}

/// The path of a program.
pub(crate) fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Prints the command and runs it with inherited input and output.
///
/// A service for CI may keep only the end of a long output. So under CI, the error of a failed command has the last
/// lines of its output, and the summary shows them.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let result = if is_ci() { echo::run(command) } else { command.status().map_err(Into::into).map(|status| (status, String::new())) };
    // The whole command is already printed. The summary repeats the error, so the error names the command briefly.
    let (status, lines) = result.with_context(|| format!("could not start `{}`", brief(command)))?;
    if !status.success() {
        bail!("{}", format!("`{}` ended with {status}\n{lines}", brief(command)).trim_end());
    }
    Ok(())
}

/// Runs the command silently and returns its output. After a failure, the message contains its error output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let result = command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !result.status.success() {
        bail!("`{}` ended with {}: {}", shown(command), result.status, String::from_utf8_lossy(&result.stderr).trim());
    }
    String::from_utf8(result.stdout).with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// The output of `cargo metadata` with further arguments.
pub(crate) fn metadata(workspace: &Workspace, more: &[&str]) -> Result<Value> {
    let text = output(workspace.cargo().args(["metadata", "--format-version", "1"]).args(more))?;
    Ok(serde_json::from_str(&text)?)
}

/// The packages in the output of `cargo metadata`.
pub(crate) fn packages(metadata: &Value) -> Result<&[Value]> {
    metadata["packages"].as_array().map(Vec::as_slice).context("cargo metadata lists no packages")
}

fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    variables.chain(words(command, usize::MAX)).collect::<Vec<_>>().join(" ")
}

fn brief(command: &Command) -> String {
    words(command, 2).collect::<Vec<_>>().join(" ")
}

/// The name of the program and at most `arguments` arguments.
fn words(command: &Command, arguments: usize) -> impl Iterator<Item = String> {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args().take(arguments)).map(|word| word.display().to_string())
}

/// Whether `program` is on the search path.
pub(crate) fn has_program(program: &str) -> bool {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let on_windows_also = format!("{program}.cmd");
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|folder| folder.join(&file).is_file() || (cfg!(windows) && folder.join(&on_windows_also).is_file()))
    })
}

/// Installs Debian packages. Without permission, returns the command that would install them.
pub(crate) fn install(workspace: &Workspace, packages: &[&str]) -> Result<Option<String>> {
    const INSTALL: [&str; 3] = ["install", "--yes", "--no-install-recommends"];
    if !is_root() || !has_program("apt-get") {
        return Ok(Some(format!("`apt-get {} {}`", INSTALL.join(" "), packages.join(" "))));
    }
    run(workspace.command("apt-get").args(["update", "--quiet"]))?;
    run(workspace.command("apt-get").arg("--quiet").args(INSTALL).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(None)
}

/// Whether this process may install system packages.
fn is_root() -> bool {
    cfg!(unix) && output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Whether the environment indicates continuous integration.
pub(crate) fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// A free port of the loopback interface.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Removes the files of an earlier run and creates the folder.
pub(crate) fn fresh_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    Ok(fs_err::create_dir_all(folder)?)
}
