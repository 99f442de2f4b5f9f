//! `stormfire new`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::{Args, ValueEnum};

#[derive(Args)]
pub(crate) struct New {
    /// The folder of the project. Its last part is the name.
    path: PathBuf,
    /// The first model of the project.
    #[arg(long, value_enum, default_value_t = Template::Blank)]
    template: Template,
    /// The checkout of Stormfire on which the project depends. Default: the one from which this program was built.
    #[arg(long, value_name = "FOLDER")]
    stormfire: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// A line through points.
    Blank,
    /// Classes of the rows of a CSV file with missing values.
    Tabular,
    /// Classes of images.
    Vision,
    /// The next character of a text.
    Text,
}

impl Template {
    fn program(self) -> &'static str {
        match self {
            Self::Blank => include_str!("../templates/blank.rs"),
            Self::Tabular => include_str!("../templates/tabular.rs"),
            Self::Vision => include_str!("../templates/vision.rs"),
            Self::Text => include_str!("../templates/text.rs"),
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Blank => include_str!("../templates/blank.yaml"),
            Self::Tabular => include_str!("../templates/tabular.yaml"),
            Self::Vision => include_str!("../templates/vision.yaml"),
            Self::Text => include_str!("../templates/text.yaml"),
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Blank => "A training that fits a line.",
            Self::Tabular => "A training that classifies the rows of `customers.csv`.",
            Self::Vision => "A training that classifies images of shapes.",
            Self::Text => "A training that predicts the next character of a text.",
        }
    }

    /// The file of data that the program reads. The other programs make theirs.
    fn data(self) -> Option<(&'static str, String)> {
        (self == Self::Tabular).then(|| ("customers.csv", include_str!("../templates/customers.csv").to_owned()))
    }
}

const MANIFEST: &str = include_str!("../templates/manifest.toml");
const ENVIRONMENT: &str = include_str!("../templates/environment.toml");
const README: &str = include_str!("../templates/README.md");
/// What to do with a project, for its README and for the terminal.
const COMMANDS: &str = "\
cargo run --release                             # trains; the first build takes minutes
cargo run --release -- test --ckpt-path best    # tests the best checkpoint
cargo run --release -- --help                   # the options
cargo test --release                            # a short training
stormfire watch                                 # curves, also while it trains
";
const IGNORED: &str = "/target\n/lightning_logs\n/multirun_*\n/sweep\n/tune_*\n";

pub(crate) fn create(options: &New) -> Result<String, String> {
    let New { path, template, stormfire } = options;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_package_name(name) {
        return Err(explained(
            &format!("`{name}` is not a name of a package"),
            "use letters, digits, `-` and `_`, with a letter first, and not the name of a crate that the project uses",
        ));
    }
    let stormfire = match stormfire {
        Some(checkout) => checkout.join("crates/stormfire"),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")),
    };
    let stormfire = fs::canonicalize(&stormfire)
        .ok()
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .ok_or_else(|| explained(&format!("`{}` is not Stormfire", stormfire.display()), "name a checkout of it: `--stormfire FOLDER`"))?;
    let is_used = fs::read_dir(path).map_or_else(|_| path.exists(), |mut entries| entries.next().is_some());
    if is_used {
        return Err(explained(&format!("`{}` exists and is not empty", path.display()), "choose another name"));
    }
    let lock = fs::read_to_string(stormfire.join("../../Cargo.lock"));
    // A string of JSON is one of TOML.
    let quoted = serde_json::Value::from(stormfire.display().to_string()).to_string();
    let files = [
        ("Cargo.toml", MANIFEST.replace("{name}", name).replace("\"{stormfire}\"", &quoted)),
        (".cargo/config.toml", ENVIRONMENT.to_owned()),
        (".gitignore", IGNORED.to_owned()),
        ("README.md", README.replace("{name}", name).replace("{about}", template.about()).replace("{commands}", COMMANDS)),
        ("config.yaml", template.config().to_owned()),
        ("src/main.rs", template.program().to_owned()),
    ];
    // The versions with which Stormfire is tested. Cargo removes the crates that the project does not use.
    let lock = lock.ok().map(|text| ("Cargo.lock", text));
    for (file, text) in files.into_iter().chain(template.data()).chain(lock) {
        write(&path.join(file), &text).map_err(|error| explained(&error, "check the permissions of the folder"))?;
    }
    if !is_in_repository(path) {
        // Without git, the project has no repository.
        git(path, &["init", "--quiet"]);
    }
    Ok(format!(
        "created `{folder}`\n\n  cd {word}\n  {commands}\n\n`// Yours:` in `{program}` marks what to change for your own data.\n",
        folder = path.display(),
        word = stormfire::loggers::shell_word(&path.display().to_string()),
        commands = COMMANDS.trim_end().replace('\n', "\n  "),
        program = path.join("src/main.rs").display(),
    ))
}

/// Whether a folder is in a repository of git, where another one would be a nuisance.
fn is_in_repository(folder: &Path) -> bool {
    git(folder, &["rev-parse", "--is-inside-work-tree"])
}

/// Runs git in a folder. Returns whether it succeeds.
fn git(folder: &Path, arguments: &[&str]) -> bool {
    let mut git = Command::new("git");
    // A hook of git sets these for another repository.
    git.args(arguments).current_dir(folder).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    git.output().is_ok_and(|output| output.status.success())
}

fn explained(error: &str, hint: &str) -> String {
    format!("error: {error}\nhint: {hint}\n")
}

fn is_package_name(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    // Names of cargo's folders, and of the crates that the project uses.
    let reserved =
        ["test", "core", "std", "alloc", "proc_macro", "burn", "mimalloc", "schemars", "serde", "stormfire", "build", "deps", "examples"];
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) && !reserved.contains(&name)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("`{}` cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn new(path: PathBuf, template: Template) -> Result<String, String> {
        create(&New { path, template, stormfire: None })
    }

    #[test]
    fn a_project_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let mut reports = Vec::new();
        for template in Template::value_variants() {
            let name = format!("my-{}", template.to_possible_value().unwrap().get_name());
            let path = folder.path().join(&name);
            let said = new(path.clone(), *template).unwrap();
            reports.push(said.replace(&folder.path().display().to_string(), "[folder]").replace(&name, "[name]"));
            let read = |file: &str| fs::read_to_string(path.join(file)).unwrap();
            let manifest = read("Cargo.toml");
            assert!(
                manifest.contains(&format!("stormfire = {{ path = \"{}\", features = [\"cli\"] }}", env!("CARGO_MANIFEST_DIR"))),
                "{manifest}"
            );
            assert!(!manifest.contains('{') || !manifest.contains("{name}"), "{manifest}");
            let program = read("src/main.rs");
            assert!(program.contains("fn the_loss_falls()") && program.contains("fn test_step(") && program.contains("// Yours: "));
            let readme = read("README.md");
            assert!(readme.starts_with(&format!("# {name}\n\nA training that ")) && readme.contains(COMMANDS), "{readme}");
            assert!(!readme.contains('{'), "{readme}");
            assert_eq!(path.join(".git").exists(), !is_in_repository(folder.path()));
            assert_eq!(read(".gitignore"), IGNORED);
            assert_eq!(read("Cargo.lock"), include_str!("../../../Cargo.lock"));
            assert!(read("config.yaml").contains("  lr: "));
            let table = fs::read_to_string(path.join("customers.csv"));
            assert_eq!(table.is_ok_and(|table| table.starts_with("age,income,visits,months,returned\n")), *template == Template::Tabular);
        }
        // They differ in the name only.
        reports.dedup();
        assert_snapshot!(reports.join("\n"), @r"
        created `[folder]/[name]`

          cd [folder]/[name]
          cargo run --release                             # trains; the first build takes minutes
          cargo run --release -- test --ckpt-path best    # tests the best checkpoint
          cargo run --release -- --help                   # the options
          cargo test --release                            # a short training
          stormfire watch                                 # curves, also while it trains

        `// Yours:` in `[folder]/[name]/src/main.rs` marks what to change for your own data.
        ");
    }

    #[test]
    fn a_project_in_a_repository_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(git(folder.path(), &["init", "--quiet"]));
        new(folder.path().join("inner"), Template::Blank).unwrap();
        assert!(!folder.path().join("inner/.git").exists());
    }

    #[test]
    fn the_versions_are_those_of_the_workspace() {
        let ours = include_str!("../../../Cargo.toml");
        for line in MANIFEST
            .lines()
            .filter(|line| ["burn = ", "mimalloc = ", "schemars = ", "serde = ", "[profile"].iter().any(|start| line.starts_with(start)))
        {
            assert!(ours.lines().any(|other| other == line), "{line}");
        }
        assert!(include_str!("../../../.cargo/config.toml").contains(ENVIRONMENT));
    }

    #[test]
    fn a_project_that_cannot_be_created_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("full"), "").unwrap();
        let checkout = Some(folder.path().join("nothing"));
        let errors = [
            new(folder.path().join("1st"), Template::Blank).unwrap_err(),
            new(folder.path().join("burn"), Template::Blank).unwrap_err(),
            new(folder.path().join("full"), Template::Blank).unwrap_err(),
            create(&New { path: folder.path().join("ok"), template: Template::Text, stormfire: checkout }).unwrap_err(),
        ];
        assert_snapshot!(errors.concat().replace(&folder.path().display().to_string(), "[folder]"), @"
        error: `1st` is not a name of a package
        hint: use letters, digits, `-` and `_`, with a letter first, and not the name of a crate that the project uses
        error: `burn` is not a name of a package
        hint: use letters, digits, `-` and `_`, with a letter first, and not the name of a crate that the project uses
        error: `[folder]/full` exists and is not empty
        hint: choose another name
        error: `[folder]/nothing/crates/stormfire` is not Stormfire
        hint: name a checkout of it: `--stormfire FOLDER`
        ");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
    }
}
