//! Scripts that complete the options in a shell.

use std::fmt::Write as _;

use crate::{
    args::Words,
    error::{Problem, Result},
    nearest::{any_of, did_you_mean},
    schema::{Schema, first_sentences},
};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The values that may follow a flag.
enum Takes {
    Nothing,
    /// Nothing, or this after `=`.
    Choice(&'static str),
    /// One of these.
    Values(Vec<String>),
    /// Anything. It may be a file.
    Any,
}

/// A word of the command line.
struct Word {
    flag: String,
    short: Option<char>,
    about: String,
    takes: Takes,
    /// Whether it is also a word without hyphens: `a.b=1`.
    is_bare: bool,
}

/// The script for a shell.
pub(crate) fn script(shell: &str, program: &str, words: Words<'_>, schema: &Schema) -> Result<String> {
    let commands: Vec<&str> = words.commands.iter().map(|command| command.name()).collect();
    let words = all(words, schema);
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

fn all(words: Words<'_>, schema: &Schema) -> Vec<Word> {
    let own = words.own().map(|own| Word {
        is_bare: false,
        flag: format!("--{}", own.name),
        short: own.short,
        about: own.about.into(),
        takes: match own.name {
            "completion" => Takes::Values(SHELLS.map(String::from).into()),
            _ if own.value.is_some() => Takes::Any,
            _ => own.choice.map_or(Takes::Nothing, Takes::Choice),
        },
    });
    let takes = |path: &str| match schema.leaf(path) {
        Some(leaf) if leaf.kinds.is_flag() => Takes::Values(vec!["true".into(), "false".into()]),
        Some(leaf) if !leaf.values.is_empty() => Takes::Values(leaf.values.clone()),
        _ => Takes::Any,
    };
    let aliases = words.aliases.iter().map(|alias| Word {
        is_bare: alias.fixed.is_none(),
        flag: format!("--{}", alias.name),
        short: None,
        about: schema.leaf(&alias.path).map(|leaf| first_sentences(&leaf.doc)).unwrap_or_default(),
        takes: if alias.fixed.is_some() { Takes::Nothing } else { takes(&alias.path) },
    });
    let options = schema.leaves().filter(|leaf| !leaf.is_section).map(|leaf| Word {
        is_bare: true,
        flag: format!("--{}", leaf.path),
        short: None,
        about: first_sentences(&leaf.doc),
        takes: takes(&leaf.path),
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
        let names: Vec<String> = word.short.map(|short| format!("-{short}")).into_iter().chain([word.flag.clone()]).collect();
        let bare = word.is_bare.then(|| word.flag.trim_start_matches('-').to_owned());
        let with_equals: Vec<String> = names.iter().cloned().chain(bare).map(|name| format!("{name}=")).collect();
        let (names, values) = match &word.takes {
            Takes::Nothing => continue,
            // Without a proposal, bash proposes files.
            Takes::Any => {
                let _ = writeln!(cases, "    {}) return ;;", names.join("|"));
                continue;
            }
            Takes::Choice(choice) => (with_equals, (*choice).to_owned()),
            Takes::Values(values) => ([names, with_equals].concat(), values.join(" ")),
        };
        let _ = writeln!(cases, "    {}) COMPREPLY=($(compgen -W {} -- \"$cur\")); return ;;", names.join("|"), quoted(&values));
    }
    let flags: Vec<&str> = words.iter().map(|word| word.flag.as_str()).collect();
    let bare = words.iter().filter(|word| word.is_bare).map(|word| word.flag.trim_start_matches('-'));
    let bare: Vec<String> = bare.map(|name| format!("{name}=")).collect();
    let first = if commands.is_empty() { bare.join(" ") } else { commands.join(" ") };
    // A `=` is a separate word in bash. The only proposal gets a blank behind it, which may not follow `a.b=`.
    // `compopt` is missing outside of a completion and in the bash of macOS.
    format!(
        "_{name}() {{
  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\" words
  if [ \"$cur\" = = ]; then cur= prev=\"$prev=\"; elif [ \"$prev\" = = ]; then prev=\"${{COMP_WORDS[COMP_CWORD-2]}}=\"; fi
  COMPREPLY=()
  case \"$prev\" in
{cases}    *=) return ;;
  esac
  case \"$cur\" in
    -*) words={} ;;
    *.*) words={} ;;
    *) words={} ;;
  esac
  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))
  if [ ${{#COMPREPLY[@]}} = 1 ] && [ \"$COMPREPLY\" != \"${{COMPREPLY%=}}\" ]; then compopt -o nospace 2> /dev/null; fi
}}
complete -o default -F _{name} {}
",
        quoted(&flags.join(" ")),
        quoted(&bare.join(" ")),
        quoted(&first),
        quoted(program),
    )
}

fn zsh(program: &str, commands: &[&str], words: &[Word]) -> String {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]").replace(':', r"\:");
    let mut specs = String::new();
    for word in words {
        let (equals, action) = match &word.takes {
            Takes::Nothing => ("", String::new()),
            Takes::Choice(choice) => ("=-", format!("::value:({choice})")),
            Takes::Values(values) => ("=", format!(":value:({})", values.join(" "))),
            Takes::Any => ("=", ":value:_files".to_owned()),
        };
        let spec = format!("*{}{equals}[{}]{action}", word.flag, escaped(&word.about));
        let _ = writeln!(specs, "  {} \\", quoted(&spec));
    }
    let commands = if commands.is_empty() { "*:option:".to_owned() } else { format!("*:command:({})", commands.join(" ")) };
    format!("#compdef {program}\n_arguments \\\n{specs}  {}\n", quoted(&commands))
}

fn fish(program: &str, commands: &[&str], words: &[Word]) -> String {
    let program = quoted(program);
    let mut out = format!("complete -c {program} -f -a {}\n", quoted(&commands.join(" ")));
    for word in words {
        let values = match &word.takes {
            Takes::Nothing => String::new(),
            Takes::Choice(choice) => format!(" -f -a {}", quoted(choice)),
            Takes::Values(values) => format!(" -x -a {}", quoted(&values.join(" "))),
            Takes::Any => " -r -F".to_owned(),
        };
        let short = word.short.map_or_else(String::new, |short| format!(" -s {short}"));
        let flag = word.flag.trim_start_matches('-');
        let _ = writeln!(out, "complete -c {program}{short} -l {} -d {}{values}", quoted(flag), quoted(&word.about));
    }
    out
}
