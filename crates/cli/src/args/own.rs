//! The flags of a program that are not options.

/// A flag that is not an option of the configuration.
pub(crate) struct Own {
    /// Without hyphens before it.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    /// The name of its value.
    pub(crate) value: Option<&'static str>,
    /// The only value of a flag that takes a value after `=` or none.
    pub(crate) choice: Option<&'static str>,
    /// Whether only a program with a module has it, whose runs it changes.
    pub(crate) is_of_runs: bool,
    pub(crate) about: &'static str,
}

const PLAIN: Own = Own { name: "", short: None, value: None, choice: None, is_of_runs: false, about: "" };
const OF_RUNS: Own = Own { is_of_runs: true, ..PLAIN };

/// The only list of them.
pub(crate) const OWN: [Own; 9] = [
    Own {
        name: "config",
        short: Some('c'),
        value: Some("FILE"),
        about: "Read options from a YAML, TOML or JSON file. A later file wins over an earlier one, and flags win over all.",
        ..PLAIN
    },
    Own {
        name: "ckpt-path",
        value: Some("FILE"),
        about: "Start from a checkpoint: a file, `last` or `best`. The options of the model come from it, too.",
        ..OF_RUNS
    },
    Own {
        name: "multirun",
        short: Some('m'),
        about: "Run once for each combination of values, such as `model.lr=1e-3,1e-2`: each in a process and a folder.",
        ..OF_RUNS
    },
    Own { name: "jobs", value: Some("N"), about: "The number of processes of `--multirun` or `sweep` at a time. Default: 1.", ..OF_RUNS },
    Own {
        name: "dry-run",
        about: "Build everything, try one batch of each loader, write nothing, and print the options of the run.",
        ..OF_RUNS
    },
    Own {
        name: "print-config",
        choice: Some("values"),
        about: "Print all options as YAML for `--config`. `=values` leaves the comments out.",
        ..PLAIN
    },
    Own { name: "print-schema", about: "Print the JSON schema of the options, with which editors complete and check files.", ..PLAIN },
    Own { name: "completion", value: Some("SHELL"), about: "Print a script that completes options: `bash`, `zsh` or `fish`.", ..PLAIN },
    Own {
        name: "help",
        short: Some('h'),
        choice: Some("all"),
        about: "Print this page, or with `=all` a page with every option.",
        ..PLAIN
    },
];
