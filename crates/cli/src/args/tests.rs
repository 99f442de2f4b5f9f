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
    let line = parse(&args, &schema(), Words { aliases: &aliases, has_runs: true })?;
    check_combination(&line, &schema()).map(|()| line)
}

fn options(words: &[&str]) -> Vec<(String, Option<String>)> {
    parsed(words).unwrap().options.into_iter().map(|option| (option.path, option.text)).collect()
}

#[test]
fn an_option_is_written_in_three_ways() {
    for words in [&["--model.lr=1"][..], &["--model.lr", "1"], &["model.lr=1"], &["--lr", "1"], &["--lr=1"]] {
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
    // A flag that may stand alone does not take the command.
    let line = parsed(&["--model.bias", "fit"]).unwrap();
    assert_eq!((line.command, line.options[0].text.clone()), (Some(Command::Fit), None));
    assert_eq!(parsed(&["--model.bias", "false", "fit"]).unwrap().options[0].text.as_deref(), Some("false"));
    assert_eq!(parsed(&["--ckpt_path=last", "--dry_run"]).unwrap().ckpt_path.as_deref(), Some("last"));
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
    assert_snapshot!(told(&["-c", "--help"]), @r"
    the flag `-c` has no value
      help: write `--config FILE`
    ");
    assert_snapshot!(told(&["--dry-run=yes"]), @"the flag `--dry-run` takes no value");
    assert_snapshot!(told(&["--no-bias=1"]), @r"
    --no-bias: the flag takes no value
      help: write `--model.bias=VALUE`
    ");
    assert_snapshot!(told(&["--help=al"]), @r"
    `--help=al`: expected `all`, or no value
      help: did you mean `all`?
    ");
}
