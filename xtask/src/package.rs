//! Whether the crates can be published: their metadata, their packages, and the version of Rust that they need.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::Verdict;
use crate::system::{self, Workspace, packages};

/// The fields of a package that crates.io shows or requires. It wants one of `documentation`, `homepage` and
/// `repository`.
const METADATA: [&str; 7] = ["description", "license", "documentation", "readme", "keywords", "categories", "rust_version"];

/// Makes the package of each crate, without a build.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let metadata = system::metadata(workspace, &["--locked"])?;
    let ours = ours(&metadata)?;
    let mut findings: Vec<String> = ours.iter().flat_map(|package| missing(package)).collect();
    findings.extend(too_new(packages(&metadata)?, &ours)?);
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    let folder = workspace.target.join("package-run");
    system::fresh_folder(&folder)?;
    let mut cargo = workspace.cargo();
    // Without lock files, because the crates are not in the registry yet, in which cargo would look for them.
    cargo.args(["package", "--quiet", "--no-verify", "--allow-dirty", "--exclude-lockfile", "--target-dir"]).arg(&folder);
    for package in &ours {
        cargo.args(["--package", name(package)]);
    }
    system::run(&mut cargo)?;
    let made = fs_err::read_dir(folder.join("package"))?.filter_map(Result::ok);
    let made = made.filter(|entry| entry.path().extension().is_some_and(|end| end == "crate")).count();
    if made != ours.len() {
        bail!("cargo has made {made} packages of {} crates", ours.len());
    }
    fs_err::remove_dir_all(folder)?;
    Ok(Verdict::Passed)
}

/// Checks all crates with the least version of Rust, in the folder of the other steps if it is the version in use.
pub(crate) fn least_rust(workspace: &Workspace) -> Result<Verdict> {
    let metadata = system::metadata(workspace, &["--locked", "--no-deps"])?;
    let ours = ours(&metadata)?;
    let least = ours.first().and_then(|package| package["rust_version"].as_str()).context("no crate names a version of Rust")?;
    let used = system::output(workspace.command("rustc").arg("--version"))?;
    let check = |cargo: &mut std::process::Command| system::run(cargo.arg("check").args(system::ALL).args(["--all-targets", "--quiet"]));
    if used.split(' ').nth(1).is_some_and(|version| version == least || version.starts_with(&format!("{least}."))) {
        check(&mut workspace.cargo())?;
        return Ok(Verdict::Passed);
    }
    if !system::has_program("rustup") {
        return Ok(Verdict::Skipped(format!("there is no `rustup` to install Rust {least}")));
    }
    system::run(workspace.command("rustup").args(["toolchain", "install", least, "--profile", "minimal"]))?;
    let mut cargo = workspace.command("rustup");
    cargo.args(["run", least, "cargo"]).env("CARGO_TARGET_DIR", workspace.target.join("least-rust"));
    check(&mut cargo)?;
    Ok(Verdict::Passed)
}

/// The packages in `crates`.
fn ours(metadata: &Value) -> Result<Vec<&Value>> {
    let is_ours = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| path.replace('\\', "/").contains("/crates/"));
    Ok(packages(metadata)?.iter().filter(|package| package["source"].is_null()).filter(is_ours).collect())
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// The missing fields of a manifest.
fn missing(package: &Value) -> Vec<String> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let lacking = METADATA.iter().filter(|key| is_empty(&package[**key]));
    let lacking = lacking.map(|key| format!("`{}` has no `{key}`: inherit it with `{key}.workspace = true`", name(package)));
    lacking.chain(wrong_address(package)).collect()
}

/// The documentation is where docs.rs puts it. Until the address of the repository is decided, no other address is
/// given, because a placeholder would be published.
fn wrong_address(package: &Value) -> Option<String> {
    let expected = format!("https://docs.rs/{}", name(package));
    if package["documentation"] != *expected {
        return Some(format!("`{}` needs `documentation = \"{expected}\"`", name(package)));
    }
    let addresses = ["repository", "homepage"].map(|key| package[key].as_str().unwrap_or_default());
    let wrong = addresses.into_iter().find(|address| address.contains(".invalid") || address.contains("example."))?;
    Some(format!("`{}` has the placeholder `{wrong}`", name(package)))
}

/// The dependencies that need a newer Rust than our crates say.
fn too_new(all: &[Value], ours: &[&Value]) -> Result<Vec<String>> {
    let version = |package: &Value| package["rust_version"].as_str().map(numbers).transpose();
    let mut least = None;
    for package in ours {
        least = least.max(version(package)?);
    }
    let mut findings = Vec::new();
    for package in all {
        let needed = version(package)?;
        if needed > least {
            let needed = package["rust_version"].as_str().unwrap_or_default();
            findings.push(format!("`{}` needs Rust {needed}: raise `rust-version` in Cargo.toml", name(package)));
        }
    }
    Ok(findings)
}

/// `1.95` or `1.95.0`.
fn numbers(version: &str) -> Result<[u32; 3]> {
    let mut numbers = [0; 3];
    for (number, text) in numbers.iter_mut().zip(version.split('.')) {
        *number = text.parse().with_context(|| format!("`{version}` is not a version of Rust"))?;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_fields_of_a_manifest_are_named() {
        let full = json!({
            "name": "a", "description": "x", "license": "MIT", "documentation": "https://docs.rs/a", "readme": "R", "keywords": ["k"],
            "categories": ["c"], "rust_version": "1.95",
        });
        assert!(missing(&full).is_empty());
        let mut poor = full.clone();
        poor["keywords"] = json!([]);
        poor["license"] = Value::Null;
        let found = missing(&poor);
        assert!(found.len() == 2 && found[0].contains("`a` has no `license`") && found[1].contains("`keywords`"), "{found:?}");
    }

    #[test]
    fn an_address_is_that_of_docs_rs_and_no_placeholder() {
        let package = |key: &str, value: &str| {
            let mut package = json!({ "name": "a", "documentation": "https://docs.rs/a" });
            package[key] = value.into();
            wrong_address(&package)
        };
        assert_eq!(package("documentation", "https://docs.rs/b").unwrap(), "`a` needs `documentation = \"https://docs.rs/a\"`");
        assert!(package("repository", "https://example.invalid/a").unwrap().contains("placeholder"));
        assert_eq!(package("repository", "https://github.com/a/a"), None);
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_named() {
        let package = |name: &str, version: &str| json!({ "name": name, "rust_version": version });
        let ours = package("ours", "1.95");
        let all = [package("old", "1.9.1"), package("same", "1.95.0"), package("new", "1.96"), json!({ "name": "silent" })];
        let found = too_new(&all, &[&ours]).unwrap();
        assert!(found.len() == 1 && found[0].starts_with("`new` needs Rust 1.96"), "{found:?}");
        assert!(too_new(&[package("odd", "one")], &[&ours]).is_err());
    }
}
