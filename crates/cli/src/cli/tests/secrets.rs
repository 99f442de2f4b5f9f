//! Values of secret options are shown nowhere.

use super::*;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Server {
    url: String,
    #[schemars(extend("writeOnly" = true))]
    token: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NotifyConfig {
    /// Who is to know.
    servers: Vec<Server>,
    #[schemars(extend("writeOnly" = true))]
    pin: u32,
    fails: bool,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        // A program may read its default from a file.
        Self { servers: vec![Server { url: "a".into(), token: "t0ken-0".into() }], pin: 48151, fails: false }
    }
}

fn program() -> Program {
    program_of(1).section("notify", |config: NotifyConfig, trainer| {
        if config.fails {
            return Err(Error::other(format!("{:?} do not answer to {}", config.servers, config.pin)));
        }
        Ok(trainer)
    })
}

const SECRETS: [&str; 5] = ["geheim", "t0ken", "48151", "62342", "n0t"];

fn assert_open(text: &str) {
    assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
}

#[test]
fn a_secret_of_another_kind_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, "model: {key: [geheim]}\nnotify: {pin: n0t}\n").unwrap();
    let error = program().try_run(&["-c", file.to_str().unwrap()], &[]).unwrap_err().to_string();
    assert_open(&error);
    assert!(error.contains("`model.key`: expected a string, not another kind of value"), "{error}");
    assert!(error.contains("`notify.pin`: expected a whole number, not another kind of value"), "{error}");
}

#[test]
fn no_file_of_a_run_has_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let servers = "--notify.servers=[{url: b, token: t0ken-1}]";
    // A value that a later one replaces is on the command line, too.
    let words = ["--notify.servers=[{token: n0t}]", servers, "notify.pin=62342", "--model.key", "geheim"];
    run(program(), folder.path(), &words).unwrap();
    let config = read(folder.path().join("lightning_logs/version_0/config.yaml"));
    assert!(config.contains(" '--notify.servers=[secret]' '--notify.servers=[secret]' 'notify.pin=[secret]'"), "{config}");
    assert!(config.contains("- {url: b}"), "{config}");
    assert!(read(folder.path().join("lightning_logs/version_0/hparams.yaml")).contains("[secret]"));
    for path in walk(folder.path()) {
        assert_open(&String::from_utf8_lossy(&fs_err::read(path).unwrap()));
    }
    // A continued run reads the options of the checkpoint, and not the text in place of the secret.
    run(program(), folder.path(), &["test", "--ckpt-path=last"]).unwrap();
    for path in walk(folder.path()) {
        assert_open(&String::from_utf8_lossy(&fs_err::read(path).unwrap()));
    }
}

#[test]
fn no_page_has_a_secret_as_a_default() {
    for flag in ["--help", "--help=all", "--print-config", "--print-schema", "--completion=fish"] {
        let page = printed(program().try_run(&[flag], &[("STORMFIRE__MODEL__KEY", "geheim")]));
        assert_open(&page);
        assert!(page.contains("notify") && (flag != "--print-schema" || page.contains("\"default\"")), "{page}");
    }
}

#[test]
fn no_error_of_the_program_has_a_secret() {
    let told = |program: Program, words: &[&str]| {
        let error = program.try_run(&[&["--quiet", "--model.key=geheim"], words].concat(), &[]).unwrap_err();
        assert_open(&format!("{error} {error:?}"));
        error.to_string()
    };
    assert_snapshot!(told(program(), &["notify.fails=true"]), @r#"[Server { url: "a", token: "[secret]" }] do not answer to [secret]"#);
    let fails = |of_option: bool| {
        Cli::new(
            move |config: LineConfig, _: &Device| {
                let reason = format!("`{}` is refused", config.key);
                Err(if of_option {
                    Error::config("key", &reason, "ask for geheim")
                } else {
                    Error::config("key of", &reason, "not geheim")
                })
            },
            |_: PointsConfig| Ok(Points(Loader::from_batches(Vec::new()))),
        )
        .alias("quiet", "trainer.enable_progress_bar=false")
    };
    assert_snapshot!(told(fails(true), &[]), @r"
    --model.key: `model.key`: `[secret]` is refused
      help: ask for [secret]
    ");
    assert_snapshot!(told(fails(false), &[]), @"`key of`: `[secret]` is refused; not [secret]");
}

/// A file or a line may have a secret in a form that no reader takes.
#[test]
fn no_error_of_a_reader_has_a_secret() {
    let large = "99999999999999999948151";
    for value in [large, "9e99948151", "!geheim 1", "!!int geheim", "!!geheim 1", "{a: !geheim 1}"] {
        let error = program().try_run(&[&format!("notify.pin={value}")], &[]).unwrap_err().to_string();
        assert_open(&error);
        assert!(error.starts_with("notify.pin: "), "{error}");
        let error = program().try_run(&[], &[("STORMFIRE__NOTIFY__PIN", value)]).unwrap_err().to_string();
        assert_open(&error);
        assert!(error.starts_with("STORMFIRE__NOTIFY__PIN: "), "{error}");
    }
    let error = program().try_run(&[&format!("notify.servers=[{{token: {large}}}]")], &[]).unwrap_err().to_string();
    assert_snapshot!(error, @"notify.servers: the number is too large");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.yaml", format!("notify: {{pin: {large}}}")),
        ("b.yaml", "notify: {pin: !geheim 1}".into()),
        ("c.yaml", "notify: {servers: !geheim [1]}".into()),
        ("a.toml", format!("[notify]\npin = {large}")),
        ("b.toml", "[notify]\npin = 1e99948151".into()),
        ("a.json", format!("{{\"notify\": {{\"pin\": {large}}}}}")),
    ] {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        let error = program().try_run(&["-c", path.to_str().unwrap()], &[]).unwrap_err().to_string();
        assert_open(&error);
        assert!(error.starts_with(&format!("{}:", path.display())), "{error}");
    }
}

#[test]
fn a_secret_has_one_value_in_several_runs() {
    let told = |words: &[&str]| program().try_run(words, &[]).unwrap_err().to_string();
    for words in
        [&["-m", "--model.key=geheim,n0t"][..], &["sweep", "--model.key=geheim,n0t"], &["sweep", "sweep.space={model.key: [geheim, n0t]}"]]
    {
        let error = told(words);
        assert!(
            error.contains("`model.key` is a secret, and the values of several runs are shown\n  help: give it in the environment"),
            "{error}"
        );
        assert_open(&error);
    }
    // Also if it is within a list.
    for words in [
        &["-m", "notify.servers=[{url: a, token: geheim}],[]"][..],
        &["sweep", "notify.servers=[{url: a, token: geheim}],[]"],
        &["sweep", "sweep.space={notify.servers: [[{url: a, token: geheim}], []]}"],
    ] {
        let error = told(words);
        assert!(error.contains("`notify.servers` is a secret, and the values of several runs are shown"), "{error}");
        assert_open(&error);
    }
}
