//! Rules for the manifests: our crates only depend on lower layers, and every package inherits the lints.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::system::{self, Workspace};

struct Package {
    name: String,
    /// Relative to the root, with `/`.
    manifest: String,
    dependencies: Vec<String>,
}

/// `crates` are the folders in `crates`, from the lowest layer up.
pub(super) fn check(workspace: &Workspace, crates: &[&str]) -> Result<Vec<Finding>> {
    let metadata = system::metadata(workspace, &["--no-deps"])?;
    let mut findings = Vec::new();
    for package in packages(&metadata, &format!("{}", workspace.root.display()))? {
        findings.extend(floors(&package, crates));
        findings.extend(lints(&package.manifest, &fs_err::read_to_string(workspace.root.join(&package.manifest))?));
    }
    Ok(findings)
}

fn packages(metadata: &Value, root: &str) -> Result<Vec<Package>> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata has no text where a name belongs");
    let package = |package: &Value| {
        let manifest = text(&package["manifest_path"])?;
        let manifest = manifest.strip_prefix(root).unwrap_or(&manifest).replace('\\', "/");
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        Ok(Package {
            name: text(&package["name"])?,
            manifest: manifest.trim_start_matches('/').to_owned(),
            dependencies: dependencies.map(|dependency| text(&dependency["name"])).collect::<Result<_>>()?,
        })
    };
    system::packages(metadata)?.iter().map(package).collect()
}

/// Dependencies for tests count, too. A crate is tested without the layers above it.
fn floors(package: &Package, crates: &[&str]) -> Vec<Finding> {
    let name_of = |krate: &str| if krate == "stormfire" { krate.to_owned() } else { format!("stormfire-{krate}") };
    let floor = |name: &str| crates.iter().position(|krate| name_of(krate) == name);
    let Some(own) = floor(&package.name) else {
        let unknown = package.manifest.starts_with("crates/");
        let message = || format!("`{}` is not in the table of crates of ARCHITECTURE.md", package.name);
        return unknown.then(|| Finding::on(&package.manifest, message())).into_iter().collect();
    };
    let upward = package.dependencies.iter().filter(|name| floor(name).is_some_and(|floor| floor >= own));
    upward
        .map(|name| Finding::on(&package.manifest, format!("`{}` must not depend on `{name}`, which is not below it", package.name)))
        .collect()
}

fn lints(manifest: &str, text: &str) -> Option<Finding> {
    let section = text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1).take_while(|line| !line.starts_with('['));
    let inherited = section.into_iter().any(|line| line.replace(' ', "") == "workspace=true");
    (!inherited).then(|| Finding::on(manifest, "lacks `[lints] workspace = true`".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(ToString::to_string).collect();
        Package { name: name.to_owned(), manifest: "crates/x/Cargo.toml".to_owned(), dependencies }
    }

    #[test]
    fn dependencies_only_go_down() {
        let floors = |package: &Package| floors(package, &["loggers", "checkpoint", "data", "module", "trainer", "stormfire"]);
        assert!(floors(&package("stormfire-module", &["burn", "stormfire-data", "stormfire-loggers"])).is_empty());
        assert_eq!(floors(&package("stormfire-module", &["stormfire-trainer", "stormfire-data"])).len(), 1);
        assert_eq!(floors(&package("stormfire-loggers", &["stormfire-checkpoint"])).len(), 1);
        assert_eq!(floors(&package("stormfire-data", &["stormfire"])).len(), 1);
        assert!(floors(&package("stormfire-new", &[]))[0].message.contains("not in the table"));
        let outside = Package { manifest: "xtask/Cargo.toml".to_owned(), ..package("xtask", &["stormfire"]) };
        assert!(floors(&outside).is_empty());
    }

    #[test]
    fn every_package_inherits_the_lints() {
        for (text, tidy) in [
            ("[package]\n[lints]\nworkspace = true\n", true),
            ("[lints]\n# why\nworkspace=true\n[dependencies]\n", true),
            ("[lints]\n[dependencies]\nworkspace = true\n", false),
            ("[package]\nworkspace = true\n", false),
        ] {
            assert_eq!(lints("Cargo.toml", text).is_none(), tidy, "{text}");
        }
    }

    #[test]
    fn the_metadata_of_cargo_is_parsed() {
        let metadata = json!({"packages":[{"name":"a","manifest_path":"/home/x/crates/a/Cargo.toml","dependencies":[{"name":"b"}]}]});
        let found = packages(&metadata, "/home/x").unwrap();
        assert_eq!((found[0].manifest.as_str(), &found[0].dependencies[..]), ("crates/a/Cargo.toml", &["b".to_owned()][..]));
        assert!(packages(&json!({}), "").is_err());
    }
}
