use insta::assert_snapshot;
use serde_json::json;

use super::*;

fn schema() -> Schema {
    let model = json!({ "type": "object", "properties": {
        "lr": { "type": "number" }, "bias": { "type": "boolean" }, "note": { "type": "string" },
        "key": { "type": "string", "writeOnly": true },
    }});
    Schema::of_sections("train", [("model".to_owned(), model)])
}

fn parsed(words: &[&str]) -> Result<Line> {
    let args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let alias =
        |name: &str, path: &str, fixed: Option<&str>| Alias { name: name.into(), path: path.into(), fixed: fixed.map(String::from) };
    let aliases = [alias("lr", "model.lr", None), alias("no-bias", "model.bias", Some("false"))];
    let line = parse(&args, &schema(), Words { aliases: &aliases, commands: Command::of_program(false) })?;
    check_combination(&line, &schema()).map(|()| line)
}

fn options(words: &[&str]) -> Vec<(String, Option<String>)> {
    parsed(words).unwrap().options.into_iter().map(|option| (option.path, option.text)).collect()
}

#[test]
fn an_option_is_written_in_three_ways() {
    for words in [&["--model.lr=1"][..], &["--model.lr", "1"], &["model.lr=1"], &["--lr", "1"], &["--lr=1"], &["lr=1"]] {
        assert_eq!(options(words), [("model.lr".to_owned(), Some("1".to_owned()))], "{words:?}");
    }
    assert_eq!(options(&["--model.lr", "-1e3"]), [("model.lr".into(), Some("-1e3".into()))]);
    assert_eq!(options(&["--model.note=a=b"]), [("model.note".into(), Some("a=b".into()))]);
    assert_eq!(options(&["--no-bias"]), [("model.bias".into(), Some("false".into()))]);
    assert_eq!(options(&["--model.note=", "--model.note="]).len(), 2);
}

#[test]
fn the_command_is_anywhere() {
    for words in [["test", "-c", "a.yaml"], ["-c", "a.yaml", "test"]] {
        let line = parsed(&words).unwrap();
        assert_eq!((line.command, line.files), (Some(Command::Test), vec!["a.yaml".into()]));
    }
    // A flag with an optional value does not take the command.
    let line = parsed(&["--model.bias", "fit"]).unwrap();
    assert_eq!((line.command, line.options[0].text.clone()), (Some(Command::Fit), None));
    assert_eq!(parsed(&["--model.bias", "false", "fit"]).unwrap().options[0].text.as_deref(), Some("false"));
    assert_eq!(parsed(&["--ckpt_path=last", "--dry_run"]).unwrap().ckpt_path.as_deref(), Some("last"));
}

#[test]
fn the_word_after_a_boolean_is_its_value() {
    for value in ["true", "True", "TRUE", "false", "False", "FALSE", "null", "~", "0", "-1", "yes", "true,false", "tset", ""] {
        let joined = format!("--model.bias={value}");
        assert_eq!(options(&["--model.bias", value]), options(&[joined.as_str()]), "{value}");
    }
    for word in ["test", "predict", "model.lr=1", "--lr=1"] {
        assert_eq!(options(&["--model.bias", word])[0], ("model.bias".into(), None), "{word}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = |words: &[&str]| parsed(words).unwrap().shown.join(" ");
    assert_eq!(shown(&["--model.key=x", "--model.lr=1"]), "--model.key=[secret] --model.lr=1");
    assert_eq!(shown(&["--model.key", "x", "model.key=y"]), "--model.key [secret] model.key=[secret]");
    assert_eq!(shown(&["--model={key: x}"]), "--model=[secret]");
}

#[test]
fn mistakes_are_explained() {
    let told = |words: &[&str]| parsed(words).unwrap_err().to_string();
    assert_snapshot!(told(&["tset"]), @r"
    there is no command `tset`
      help: did you mean `test`?
    ");
    assert_snapshot!(told(&["model.lr", "3"]), @r"
    there is no command `model.lr`
      help: write `model.lr=VALUE` or `--model.lr VALUE`
    ");
    assert_snapshot!(told(&["fit", "test"]), @r"
    two commands: `fit` and `test`
      help: give one of them
    ");
    assert_snapshot!(told(&["--not", "3"]), @r"
    there is no flag `--not`
      help: did you mean `--model.note`?
    ");
    assert_snapshot!(told(&["--dryrun"]), @r"
    there is no flag `--dryrun`
      help: did you mean `--dry-run`?
    ");
    assert_snapshot!(told(&["--key=1"]), @r"
    there is no flag `--key`
      help: did you mean `--model.key`?
    ");
    assert_snapshot!(told(&["-x"]), @r"
    there is no flag `-x`
      help: `--help` lists the options
    ");
    assert_snapshot!(told(&["--config"]), @r"
    the flag `--config` has no value
      help: write `--config FILE`
    ");
    assert_snapshot!(told(&["-c", "--dry-run"]), @r"
    the flag `-c` has no value
      help: write `--config FILE`
    ");
    assert_snapshot!(told(&["--dry-run=yes"]), @"the flag `--dry-run` takes no value");
    assert_snapshot!(told(&["--no-bias=1"]), @r"
    --no-bias: the flag takes no value
      help: write `--model.bias=VALUE`
    ");
    assert_snapshot!(told(&["no-bias=1"]), @r"
    no-bias: the flag takes no value
      help: write `--model.bias=VALUE`
    ");
    assert_snapshot!(told(&["train"]), @r"
    there is no command `train`
      help: the commands are `fit`, `validate`, `test`, `tune` or `sweep`
    ");
    assert_snapshot!(told(&["-c", "a.yaml", "b.YML"]), @r"
    there is no command `b.YML`
      help: `-c b.YML` reads a file
    ");
    assert_snapshot!(told(&["test", "last.ckpt"]), @r"
    there is no command `last.ckpt`
      help: `--ckpt-path last.ckpt` starts from a checkpoint
    ");
    assert_snapshot!(told(&["--print-config=value"]), @r"
    `--print-config=value`: expected `values`, or no value
      help: did you mean `values`?
    ");
    assert_snapshot!(told(&["--help=al"]), @r"
    `--help=al`: expected `all`, or no value
      help: did you mean `all`?
    ");
}

#[test]
fn one_thing_is_printed() {
    let told = |words: &[&str]| parsed(words).map(|line| line.print).map_err(|error| error.to_string());
    let refused = |flags: [&str; 2]| Err(format!("`{}` and `{}` print different things\n  help: give one of them", flags[0], flags[1]));
    assert_eq!(told(&["--print-schema", "--print-config"]), refused(["--print-schema", "--print-config"]));
    assert_eq!(told(&["--completion=fish", "--print-schema"]), refused(["--completion", "--print-schema"]));
    assert_eq!(told(&["--print-config", "--print-config=values"]), Ok(Some(Print::Config { docs: false })));
    // A mistake is named once.
    for words in [
        &["--print-config=value", "--print-config=value"][..],
        &["--print-config=value", "--print-config", "--print-config=value"],
        &["--print-schema", "--print-config", "--print-config=values"],
        &["--nope", "--nope=1", "--nope"],
    ] {
        let error = told(words).unwrap_err();
        assert_eq!(error.lines().count(), 2, "{words:?}: {error}");
    }
}

#[test]
fn help_goes_before_everything_else() {
    let told = |words: &[&str]| parsed(words).map(|line| line.print).map_err(|error| error.to_string());
    for others in [
        &["--print-config"][..],
        &["--print-config", "--print-schema"],
        &["--print-config=x", "--completion"],
        &["--nope", "tset", "fit", "test"],
        &["--jobs=2"],
        &["-m", "sweep", "--ckpt-path=last"],
        &["-c"],
    ] {
        let help = Ok(Some(Print::Help { all: false }));
        assert_eq!(told(&[others, &["--help"]].concat()), help, "{others:?}");
        assert_eq!(told(&[&["-h"], others].concat()), help, "{others:?}");
    }
    // The last of several requests counts.
    assert_eq!(told(&["--help", "--help=all"]), Ok(Some(Print::Help { all: true })));
    assert_eq!(told(&["--help=all", "--print-schema", "-h"]), Ok(Some(Print::Help { all: false })));
}

#[test]
fn words_without_an_effect_are_explained() {
    let told = |words: &[&str]| parsed(words).unwrap_err().to_string();
    assert_snapshot!(told(&["=x"]), @r"
    a word starts with `=`, without the name of an option
      help: write `OPTION=VALUE`
    ");
    assert_snapshot!(told(&["--config="]), @r"
    the flag `--config` has no value
      help: write `--config FILE`
    ");
    assert_snapshot!(told(&["--model.note", "-x"]), @r"
    there is no flag `-x`
      help: if it is the value of `--model.note`, write `--model.note=-x`
    ");
    assert_snapshot!(told(&["--nope"]), @r"
    there is no flag `--nope`
      help: did you mean `--model.note`?
    ");
    assert_snapshot!(told(&["--sweep.trials=3"]), @r"
    --sweep.trials: `sweep.trials` has no effect on `fit`
      help: it is for the command `sweep`
    ");
    assert_snapshot!(told(&["sweep", "tune.lr=xx"]), @r"
    tune.lr: `tune.lr` has no effect on `sweep`
      help: it is for the command `tune`
    ");
    assert_snapshot!(told(&["--not", "3", "tset", "model.lr=1", "--dry-run=yes"]), @r"
    there is no flag `--not`
      help: did you mean `--model.note`?
    there is no command `tset`
      help: did you mean `test`?
    the flag `--dry-run` takes no value
    ");
    assert!(parsed(&["tune", "--tune.lr=x"]).is_ok() && parsed(&["sweep", "sweep.trials=3"]).is_ok());
}
