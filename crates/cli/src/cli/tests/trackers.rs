//! Trackers that a file names. Each run is a process with its own environment, which has the keys.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};

use super::*;

const ROOT: &str = "STORMFIRE_TEST_ROOT";
const WORDS: &str = "STORMFIRE_TEST_TRACKED";

/// The keys of all trackers.
const KEYS: [(&str, &str); 4] = [
    ("WANDB_API_KEY", "K3y0123456789012345678901234567890123456"),
    ("COMET_API_KEY", "K3yOfComet01234567890"),
    ("MLFLOW_TRACKING_TOKEN", "K3yOfMlflow"),
    ("TRACKIO_WRITE_TOKEN", "K3yOfTrackio"),
];

#[test]
#[ignore = "a part of the tests below, in separate processes"]
fn runs_a_line() {
    let (Ok(root), Ok(words)) = (std::env::var(ROOT), std::env::var(WORDS)) else { return };
    run(program_of(1), Path::new(&root), &words.lines().collect::<Vec<_>>()).unwrap();
}

/// Runs a line in a process.
fn tracked(root: &Path, words: &[&str]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cli::tests::trackers::runs_a_line", "--ignored"]).current_dir(root);
    for (name, _) in std::env::vars().filter(|(name, _)| ["WANDB_", "COMET_", "MLFLOW_", "TRACKIO_"].iter().any(|of| name.starts_with(of)))
    {
        command.env_remove(name);
    }
    // Settings of the user's home.
    command.env("HOME", root).envs(KEYS).env(ROOT, root).env(WORDS, words.join("\n"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Fits with one logger, given as YAML, and returns its configuration.
fn fitted(root: &Path, logger: &str) -> String {
    let file = root.join("given.yaml");
    fs_err::write(
        &file,
        format!("trainer:\n  log_every_n_steps: 1\n  callbacks: [{{name: learning_rate_monitor}}]\n  loggers:\n  - {logger}\n"),
    )
    .unwrap();
    let before = configs(root);
    tracked(root, &["-c", file.to_str().unwrap()]);
    let new: Vec<PathBuf> = configs(root).difference(&before).cloned().collect();
    assert_eq!(new.len(), 1, "{new:?} {:?}", walk(root));
    read(&new[0])
}

/// All configurations of runs below a folder.
fn configs(root: &Path) -> BTreeSet<PathBuf> {
    walk(root)
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "config.yaml"))
        .filter(|path| read(path).contains("# program "))
        .collect()
}

/// No file has a key.
fn assert_no_key(root: &Path) {
    for path in walk(root) {
        let text = String::from_utf8_lossy(&fs_err::read(&path).unwrap()).into_owned();
        assert!(!text.contains("K3y") || path.ends_with("given.yaml"), "{}", path.display());
    }
}

/// The paths of all files below a folder, and what they have.
fn all_files(root: &Path) -> String {
    let mut all = String::new();
    for path in walk(root) {
        let _ = writeln!(all, "{}\n{}", path.display(), String::from_utf8_lossy(&fs_err::read(&path).unwrap()));
    }
    all
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

/// A server that answers every request with the same JSON, and keeps what it got.
struct Server {
    address: String,
    got: Arc<Mutex<String>>,
}

impl Server {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let got = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(&stream, answer, &kept));
            }
        });
        Self { address, got }
    }

    fn got(&self) -> String {
        self.got.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answer: &str, got: &Mutex<String>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        text.push_str(&line);
        let lower = line.trim_end().to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        is_chunked |= lower == "transfer-encoding: chunked";
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while is_chunked && !body.ends_with(b"\r\n0\r\n\r\n") && body != b"0\r\n\r\n" {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        body.push(byte[0]);
    }
    let _ = writeln!(got.lock().unwrap(), "{text}{}", String::from_utf8_lossy(&body));
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())).ok()
}

#[test]
fn wandb_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config = fitted(
        root,
        "{name: wandb, offline: true, base_url: \"https://me:K3y@wandb.example\", project: proj-1, entity: team-1, group: group-1, job_type: job-1, \
         run_name: name-1, notes: note-1, tags: [tag-1, tag-2], id: id-1, prefix: pre-1, log_model: at_end, strict: true, spool_limit: 1000000, patience: 1 s}",
    );
    assert_has(&config, &["name: wandb, offline: true, base_url: \"https://wandb.example\", project: proj-1", "tags: [tag-1, tag-2]"]);
    let run = walk(root).into_iter().find(|path| path.ends_with("run-id-1.wandb")).unwrap();
    let text = String::from_utf8_lossy(&fs_err::read(&run).unwrap()).into_owned();
    assert_has(&text, &["proj-1", "team-1", "group-1", "job-1", "name-1", "note-1", "tag-1", "tag-2", "pre-1-lr-SGD", "model-id-1"]);
    // A run whose loggers have no folder still has a place for its options, and its checkpoints are found.
    let path = configs(root).pop_first().unwrap();
    assert!(path.starts_with(root.join("configs")), "{path:?}");
    tracked(root, &["test", "--ckpt-path=best", "-c", path.to_str().unwrap(), "trainer.loggers=[{name: wandb, offline: true, id: id-2}]"]);
    assert_eq!(configs(root).len(), 2);
    assert_no_key(root);
}

#[test]
fn mlflow_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let store = root.join("store");
    let config = fitted(
        root,
        &format!(
            "{{name: mlflow, tracking_uri: \"file:{}\", experiment: exp-1, run_name: name-1, parent_run: parent-1, tags: {{team: team-1}}, \
             log_model: all, prefix: pre-1, strict: true, spool_limit: 1000000, patience: 1 s, insecure_tls: false}}",
            store.display()
        ),
    );
    assert_has(&config, &["experiment: exp-1, run_name: name-1", "tags: {team: team-1}"]);
    let text = all_files(&store);
    assert_has(
        &text,
        &["name: \"exp-1\"", "/tags/mlflow.runName\nname-1\n", "/tags/mlflow.parentRunId\nparent-1\n", "/tags/team\nteam-1\n"],
    );
    assert_has(&text, &["/metrics/pre-1-lr-SGD\n", ".ckpt\n"]);
    // A run that continues.
    let run = walk(&store).into_iter().find(|path| path.ends_with("tags/team")).unwrap();
    let run = run.parent().unwrap().parent().unwrap();
    let before = configs(root);
    let logger = format!(
        "trainer.loggers=[{{name: mlflow, tracking_uri: '{}', existing_run: {}}}]",
        store.display(),
        run.file_name().unwrap().display()
    );
    tracked(root, &[&logger, "trainer.callbacks=[{name: learning_rate_monitor}]", "trainer.log_every_n_steps=1"]);
    assert!(run.join("metrics/lr-SGD").is_file(), "{:?}", walk(run));
    assert_eq!(configs(root).difference(&before).count(), 1);
    assert_no_key(root);
}

#[test]
fn neptune_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config = fitted(root, "{name: neptune, run_name: name-1, tags: [tag-1, tag-2], prefix: pre-1, log_model: at_end}");
    assert_has(&config, &["{name: neptune, run_name: name-1, tags: [tag-1, tag-2], prefix: pre-1, log_model: at_end}"]);
    // Its runs have folders.
    assert!(!root.join("configs").exists());
    let text = all_files(&root.join(".neptune"));
    assert_has(&text, &["name-1", "tag-1", "tag-2", "pre-1", "\"checkpoints\""]);
    assert_no_key(root);
}

#[test]
fn comet_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let server = Server::start(r#"{"msg": "ok", "runId": "r1", "project_id": "p1"}"#);
    let config = fitted(
        root,
        &format!(
            "{{name: comet, offline: false, server: \"http://{}/clientlib/\", workspace: team-1, project: proj-1, \
             experiment_key: key10123456789012345678901234567890, experiment_name: name-1, tags: [tag-1, tag-2], prefix: pre-1, \
             log_model: at_end, strict: true, spool_limit: 1000000, patience: 10 s}}",
            server.address
        ),
    );
    assert_has(&config, &["workspace: team-1, project: proj-1", "experiment_name: name-1"]);
    let got = server.got();
    assert_has(&got, &["POST /clientlib/", "team-1", "proj-1", "key10123456789012345678901234567890", "name-1", "tag-1", "tag-2"]);
    assert_has(&got, &["batch/logger/experiment/metric", "K3yOfComet", "model-element"]);
    assert_no_key(root);
    // An archive in place of a server.
    tracked(root, &["trainer.loggers=[{name: comet, offline: true, experiment_key: key20123456789012345678901234567890}]"]);
    assert!(root.join("key20123456789012345678901234567890.zip").is_file(), "{:?}", walk(root));
}

#[test]
fn trackio_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let server = Server::start(r#"{"data": null}"#);
    let config = fitted(
        root,
        &format!(
            "{{name: trackio, server_url: \"http://{}/?write_token=K3yOfTheUrl\", project: proj-1, run: name-1, group: group-1, prefix: pre-1, \
             strict: true, spool_limit: 1000000, patience: 10 s}}",
            server.address
        ),
    );
    assert_has(&config, &[&format!("server_url: \"http://{}/\", project: proj-1, run: name-1", server.address)]);
    let got = server.got();
    assert_has(&got, &["POST /api/bulk_log", "proj-1", "name-1", "group-1", "pre-1-lr-SGD", "K3yOfTheUrl"]);
    assert_no_key(root);
    // A Space and a server exclude each other, so that the last one counts.
    let space = "trainer.loggers=[{name: trackio, space: user/space, project: p}]";
    let printed = printed(program_of(1).try_run(&["--print-config=values", space], &[]));
    assert_has(&printed, &["- {name: trackio, space: user/space, project: p}"]);
}

#[test]
fn mistakes_in_trackers_are_named_without_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let lists = [
        "[{name: wandb, ofline: true}]",
        "[{name: wandb, api_key: K3y}]",
        "[{name: mlflow, tracking_uri: [\"http://me:K3y@host\"]}]",
        "[{name: mlflow, tracking_url: \"http://me:K3y@host\"}]",
        "[{name: wandb, log_model: end}]",
        "[{name: wandbb}]",
        "[{name: wandb, patience: 5 parsecs}]",
    ];
    let mut table = String::new();
    for list in lists {
        let error = run(program_of(1), folder.path(), &[&format!("trainer.loggers={list}")]).unwrap_err();
        let _ = writeln!(table, "{}\n{error}\n", list.replace("K3y", "KEY"));
    }
    assert!(!table.contains("K3y"), "{table}");
    assert_snapshot!("mistakes_in_trackers", table);
}

/// The mistake in a list of loggers, which a run and a dry run refuse in the same words.
fn refused(root: &Path, loggers: &str) -> String {
    let loggers = format!("trainer.loggers={loggers}");
    let told = |first: &str| {
        let words: Vec<String> = in_folder(root.to_str().unwrap(), &[first, &loggers]).into_iter().map(str::to_owned).collect();
        match program_of(1).execute("program", &words, Vec::new()) {
            Err(Ended::Usage(error)) => error.to_string(),
            Err(other) => panic!("{loggers}: {:?}", other.into_error()),
            Ok(outcome) => panic!("{loggers}: {outcome:?}"),
        }
    };
    let error = told("--dry-run");
    assert_eq!(error, told("fit"));
    error
}

#[test]
fn a_malformed_address_is_refused_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    for (logger, option) in [("trackio", "server_url"), ("wandb", "base_url"), ("mlflow", "tracking_uri"), ("comet", "server")] {
        for address in [
            "usr:S3CR@host/?write_token=T0KEN",
            "//u:S3CR@host",
            "http:/u:S3CR@host",
            r"http:\\u:S3CR@host",
            "http:///u:S3CR@host",
            "host:80?write_token=T0KEN",
            "http://host;write_token=T0KEN",
        ] {
            let error = refused(folder.path(), &format!("[{{name: {logger}, {option}: '{address}'}}]"));
            assert!(error.starts_with(&format!("trainer.loggers: `trainer.loggers[0].{option}`: this ")), "{error}");
            assert!(!error.contains("S3CR") && !error.contains("T0KEN"), "{error}");
        }
    }
    assert_snapshot!(refused(folder.path(), "[{name: trackio, server_url: zzz}]"), @r"
    trainer.loggers: `trainer.loggers[0].server_url`: this is not the address of a server: `http://` or `https://`, a host, and perhaps a port and a path
      help: write it as `https://host` or `http://host:port/path`
    ");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0, "{:?}", walk(folder.path()));
}

#[test]
fn a_dry_run_refuses_the_settings_that_a_run_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let lists = [
        "[{name: wandb, offline: true, id: a/b}]",
        "[{name: csv}, {name: wandb, offline: true, id: ''}]",
        "[{name: comet, offline: true, experiment_key: short}]",
        "[{name: mlflow, tracking_uri: 'nonsense://x'}]",
    ];
    let told: Vec<String> = lists.iter().map(|list| refused(folder.path(), list)).collect();
    assert_snapshot!(told.join("\n"), @r"
    trainer.loggers: `trainer.loggers[0].id`: the W&B run id `a/b` is empty, longer than 128, or contains one of `/\#?%:`, which W&B refuses
      help: choose another id, or leave it out
    trainer.loggers: `trainer.loggers[1].id`: the W&B run id `` is empty, longer than 128, or contains one of `/\#?%:`, which W&B refuses
      help: choose another id, or leave it out
    trainer.loggers: `trainer.loggers[0].experiment_key`: the Comet experiment key `short` is not 32 to 50 letters and digits
      help: leave it out for a random key
    trainer.loggers: `trainer.loggers[0].tracking_uri`: this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)
      help: a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address
    ");
    // Without `TRACKIO_SERVER_URL`.
    assert_snapshot!(refused(folder.path(), "[{name: trackio}]"), @r"
    trainer.loggers: `trainer.loggers[0]`: logger `trackio` needs the address of a server
      help: give a `server_url` or set `TRACKIO_SERVER_URL`; `trackio show` starts a server
    ");
    // A `fast_dev_run` opens no logger, and the configuration can be printed.
    let trackio = "trainer.loggers=[{name: trackio}]";
    printed(run(program_of(1), folder.path(), &["--dry-run", trackio, "trainer.fast_dev_run=1"]));
    printed(run(program_of(1), folder.path(), &["--print-config", trackio]));
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0, "{:?}", walk(folder.path()));
}
