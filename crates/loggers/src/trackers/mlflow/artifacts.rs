//! Files on their way to the artifacts of a run.

use std::path::Path;

use serde_json::Value;

use super::carrier::Server;
use super::server_run::{API, Known};
use super::tracking_uri::local_path;
use crate::network::http::{Content, Expect, percent};
use crate::network::outbox::Failure;

/// The part of an address behind which a server keeps artifacts under their paths.
const ARTIFACTS: &str = "mlflow-artifacts/artifacts";

impl Server {
    pub(super) fn upload(&mut self, run: &Known, to: &str, from: &Path) -> Result<usize, Failure> {
        let uri = run.artifact_uri.trim_end_matches('/');
        let escaped = escaped(to);
        let address = if let Some(path) = uri.strip_prefix("mlflow-artifacts:") {
            // The address of a separate artifact server may be given.
            let (server, path) = match path.strip_prefix("//") {
                Some(rest) => rest.split_once('/').map_or((Some(rest), ""), |(host, path)| (Some(host), path)),
                None => (None, path.trim_start_matches('/')),
            };
            let scheme = self.client.base().split_once(':').map_or("http", |(scheme, _)| scheme);
            let own = self.client.base().split_once("://").map(|(_, host)| host.split('/').next().unwrap_or(host));
            let base = server.filter(|server| !server.is_empty() && Some(*server) != own).map(|server| format!("{scheme}://{server}/"));
            format!("{}api/2.0/{ARTIFACTS}/{}/{escaped}", base.unwrap_or_default(), self::escaped(path))
        } else if let Some(path) = uri.strip_prefix(self.client.base()).filter(|path| path.starts_with('/')) {
            format!("{}/{escaped}", path.trim_start_matches('/'))
        } else if uri.starts_with("http://") || uri.starts_with("https://") {
            format!("{uri}/{escaped}")
        } else if let Some(folder) = local_path(uri) {
            return copy(from, &folder.join(to)).map(|()| 1).map_err(|error| Failure::refused(error.to_string()));
        } else {
            let scheme = uri.split(':').next().unwrap_or(uri);
            return Err(Failure::refused(format!(
                "artifacts of this run go to `{scheme}:` directly; start the server with `--artifacts-destination` to send them through it"
            )));
        };
        let size = from.metadata().map_or(0, |metadata| metadata.len());
        let content = Content::File { path: from, content_type: content_type(to) };
        // Its own server speaks as MLflow does, any other place only has a status.
        let expect = if address.starts_with("http") { Expect::Stored } else { Expect::Kept };
        let answer = self.client.send("PUT", &address, &[], content, expect)?;
        if expect == Expect::Kept && answer.is_null() {
            self.confirm(run, &address, (to, size))?;
        }
        Ok(1)
    }

    /// Confirms a file that was accepted with an empty answer. MLflow 3 answers so, and a proxy in its place may, too.
    /// For the first file, the server's list is checked. Lists get long, so later files only require that MLflow
    /// answers, and not a proxy.
    fn confirm(&mut self, run: &Known, address: &str, (to, size): (&str, u64)) -> Result<(), Failure> {
        let Some((api, path)) = address.split_once(&format!("{ARTIFACTS}/")) else { return Ok(()) };
        let has_it = if self.takes_silently {
            let answer = self.client.get(&format!("{API}/experiments/get?experiment_id={}", percent(&run.experiment_id)))?;
            answer["experiment"].is_object()
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let answer = self.client.get(&format!("{api}{ARTIFACTS}?path={folder}"))?;
            answer["files"].as_array().into_iter().flatten().any(|file| is_file(file, to, size))
        };
        if !has_it {
            return Err(Failure::retry(format!(
                "PUT {address}: the answer is empty, and the server does not say that it has the file: it may come from a proxy"
            )));
        }
        self.takes_silently = true;
        Ok(())
    }
}

/// Whether an entry of a list is this file, which may have grown since.
fn is_file(listed: &Value, to: &str, size: u64) -> bool {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let (name, expected) = (last(listed["path"].as_str().unwrap_or_default()), last(to));
    // MLflow 3 undoes `%2B` in a name once too often.
    let is_same = name == expected || expected.contains('%');
    let listed_size = &listed["file_size"];
    let listed_size = listed_size.as_u64().or_else(|| listed_size.as_str()?.parse().ok());
    is_same && listed_size.is_some_and(|listed| listed >= size)
}

fn escaped(path: &str) -> String {
    path.split('/').map(percent).collect::<Vec<_>>().join("/")
}

/// Copies a file into a folder of artifacts; a reader sees all of it or nothing.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut source = fs_err::File::open(from)?;
    let mut target = stormfire_store::replacement::Replacement::new(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.commit().map(drop)
}

/// The type of a file's content, from its name.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wav" => "audio/wav",
        "json" => "application/json",
        "md" | "txt" | "yaml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
