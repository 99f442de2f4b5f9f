//! Scripts that complete the options in a shell.

use std::fmt::Write as _;

use crate::{
    args::{Alias, Command, OWN},
    error::{Problem, Result},
    nearest::{any_of, did_you_mean},
    schema::{Schema, first_sentences},
};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// A word of the command line.
struct Word {
    flag: String,
    about: String,
    values: Vec<String>,
    takes_file: bool,
}

/// The script for a shell.
pub(crate) fn script(shell: &str, program: &str, commands: &[Command], aliases: &[Alias], schema: &Schema) -> Result<String> {
    let words = words(aliases, schema);
    let commands: Vec<&str> = commands.iter().map(|command| command.name()).collect();
    match shell {
        "bash" => Ok(bash(program, &commands, &words)),
        "zsh" => Ok(zsh(program, &commands, &words)),
        "fish" => Ok(fish(program, &commands, &words)),
        _ => {
            let message = format!("`--completion {shell}`: expected {}", any_of(SHELLS));
            Err(Problem::general(message).help(did_you_mean(shell, SHELLS)).into())
        }
    }
}

fn words(aliases: &[Alias], schema: &Schema) -> Vec<Word> {
    let own = OWN.iter().map(|own| Word {
        flag: format!("--{}", own.name),
        about: own.about.into(),
        values: if own.name == "completion" { SHELLS.map(String::from).into() } else { Vec::new() },
        takes_file: own.value == Some("FILE"),
    });
    let values_of = |path: &str| {
        let leaf = schema.leaf(path);
        let is_flag = leaf.is_some_and(|leaf| leaf.kinds.is_flag());
        if is_flag { vec!["true".into(), "false".into()] } else { leaf.map(|leaf| leaf.values.clone()).unwrap_or_default() }
    };
    let aliases = aliases.iter().map(|alias| Word {
        flag: format!("--{}", alias.name),
        about: schema.leaf(&alias.path).map(|leaf| first_sentences(&leaf.doc)).unwrap_or_default(),
        values: if alias.fixed.is_some() { Vec::new() } else { values_of(&alias.path) },
        takes_file: false,
    });
    let options = schema.leaves().filter(|leaf| leaf.path.contains('.') && !leaf.is_section).map(|leaf| Word {
        flag: format!("--{}", leaf.path),
        about: first_sentences(&leaf.doc),
        values: values_of(&leaf.path),
        takes_file: false,
    });
    own.chain(aliases).chain(options).collect()
}

/// The name of a function for a program.
fn function(program: &str) -> String {
    program.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// In single quotes of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn bash(program: &str, commands: &[&str], words: &[Word]) -> String {
    let name = function(program);
    let mut cases = String::new();
    for word in words {
        if word.takes_file {
            let _ = writeln!(cases, "    {}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;", word.flag);
        } else if !word.values.is_empty() {
            let values = quoted(&word.values.join(" "));
            let _ = writeln!(cases, "    {}) COMPREPLY=($(compgen -W {values} -- \"$cur\")); return ;;", word.flag);
        }
    }
    let flags: Vec<&str> = words.iter().map(|word| word.flag.as_str()).collect();
    // A `=` is a word of its own in bash.
    format!(
        "_{name}() {{
  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\"
  if [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then prev=\"${{COMP_WORDS[COMP_CWORD-2]}}\"; fi
  case \"$prev\" in
{cases}  esac
  COMPREPLY=($(compgen -W {} -- \"$cur\"))
}}
complete -F _{name} {}
",
        quoted(&commands.iter().copied().chain(flags).collect::<Vec<_>>().join(" ")),
        quoted(program),
    )
}

fn zsh(program: &str, commands: &[&str], words: &[Word]) -> String {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]").replace(':', r"\:");
    let mut specs = String::new();
    for word in words {
        let action = match word.values.as_slice() {
            _ if word.takes_file => ":file:_files".to_owned(),
            [] => ":value:".to_owned(),
            values => format!(":value:({})", values.join(" ")),
        };
        let spec = format!("*{}=[{}]{action}", word.flag, escaped(&word.about));
        let _ = writeln!(specs, "  {} \\", quoted(&spec));
    }
    format!("#compdef {program}\n_arguments \\\n{specs}  {}\n", quoted(&format!("*:command:({})", commands.join(" "))))
}

fn fish(program: &str, commands: &[&str], words: &[Word]) -> String {
    let program = quoted(program);
    let mut out = format!("complete -c {program} -f -a {}\n", quoted(&commands.join(" ")));
    for word in words {
        let values = match word.values.as_slice() {
            _ if word.takes_file => " -r -F".to_owned(),
            [] => String::new(),
            values => format!(" -x -a {}", quoted(&values.join(" "))),
        };
        let flag = word.flag.trim_start_matches('-');
        let _ = writeln!(out, "complete -c {program} -l {} -d {}{values}", quoted(flag), quoted(&word.about));
    }
    out
}
