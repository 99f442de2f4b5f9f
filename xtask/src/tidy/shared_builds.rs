//! The program `stormfire` and projects with any features of Stormfire build burn with the same features, so that in
//! one target folder they share the longest part of a first build. Features for GPUs build other parts of burn.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::system::{self, Workspace};

/// The package from which burn has its kernels.
const KERNELS: &str = "burn-flex";

/// The features for GPUs.
const GPUS: [&str; 4] = ["cuda", "metal", "vulkan", "wgpu"];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let packages = |args: &[&str]| {
        let tree = ["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{f}"];
        Ok::<_, anyhow::Error>(features(&system::output(workspace.cargo().args(tree).args(args))?))
    };
    let all = format!("--features={}", features_without_gpus(workspace)?.join(","));
    let (all, project) = (packages(&["--package=stormfire", &all])?, packages(&["--package=stormfire-examples"])?);
    let below = packages(&["--package", KERNELS])?;
    Ok(below.keys().filter_map(|package| differ(package, all.get(package)?, project.get(package)?)).collect())
}

/// The features of the package `stormfire`.
fn features_without_gpus(workspace: &Workspace) -> Result<Vec<String>> {
    let metadata = system::metadata(workspace, &["--no-deps"])?;
    let packages = system::packages(&metadata)?;
    let stormfire = packages.iter().find(|package| package["name"] == "stormfire").context("there is no package `stormfire`")?;
    let features = stormfire["features"].as_object().context("the package `stormfire` has no features")?;
    Ok(features.keys().filter(|feature| !GPUS.contains(&feature.as_str())).cloned().collect())
}

/// The features of each package in a tree.
fn features(tree: &str) -> BTreeMap<String, String> {
    let lines = tree.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('|'));
    lines.map(|(package, features)| (package.to_owned(), features.to_owned())).collect()
}

fn differ(package: &str, all: &str, project: &str) -> Option<Finding> {
    let message = || {
        format!(
            "`{package}` has the features [{all}] with all features of `stormfire` and [{project}] in a project, \
             so `{KERNELS}` is built for each: depend on it with all of them"
        )
    };
    (all != project).then(|| Finding::on("crates/stormfire/Cargo.toml", message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_two_sets_of_features_is_found() {
        let tree = |features: &str| super::features(&format!("burn-flex v0.22.1|rayon,std\neither v1.19.0|{features} (*)\n"));
        let (all, project) = (tree("std,use_std"), tree(""));
        assert_eq!(all.keys().collect::<Vec<_>>(), ["burn-flex v0.22.1", "either v1.19.0"]);
        let found: Vec<_> = all.iter().filter_map(|(package, features)| differ(package, features, &project[package])).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("`either v1.19.0` has the features [std,use_std]"), "{}", found[0]);
    }
}
