//! New projects: those of the code blocks of the README and of the first chapter, and those of `stormfire new`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::step::Verdict;
use crate::system::{self, Workspace};

/// The path to the checkout, as the README writes it.
const CHECKOUT: &str = "../stormfire/";

/// The templates of `stormfire new`.
const TEMPLATES: [&str; 4] = ["blank", "tabular", "vision", "text"];

/// Builds the projects as a user would, in separate folders, and trains.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let readme = fs_err::read_to_string(workspace.root.join("README.md"))?;
    let folder = workspace.target.join("fresh");
    let project = folder.join("project");
    copied(workspace, &readme, &project)?;
    fs_err::create_dir(project.join(".cargo"))?;
    fs_err::write(project.join(".cargo/config.toml"), environment(&readme)?)?;
    // One target folder: only the first project builds burn.
    let target = folder.join("target");
    let run = |project: &Path, arguments: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.args(["run", "--release", "--"]).args(arguments).current_dir(project).env("CARGO_TARGET_DIR", &target);
        system::output(&mut cargo)
    };
    run(&project, &[])?;
    let metrics = Path::new("lightning_logs/version_0/metrics.csv");
    if !project.join(metrics).is_file() {
        bail!("the project of the README left no `{}`", metrics.display());
    }
    first_chapter(workspace, &folder.join("flowers"), &run)?;
    // Without an example, cargo would leave out the features that the tests require, and compile everything again.
    let built = system::build(workspace, &["--bin", "stormfire", "--example", "sample"])?;
    let stormfire = system::program(&built, "stormfire");
    for template in TEMPLATES {
        let project = folder.join(template);
        system::fresh_folder(&project)?;
        let mut new = workspace.command(&stormfire);
        system::run(new.arg("new").arg(&project).args(["--template", template, "--stormfire"]).arg(&workspace.root))?;
        let commands: [&[&str]; 3] = [
            &["run", "--release", "--", "-c", "config.yaml", "--epochs", "2"],
            &["run", "--release", "--", "test", "--ckpt-path", "best"],
            &["test", "--release"],
        ];
        for arguments in commands {
            system::run(workspace.cargo().args(arguments).current_dir(&project).env("CARGO_TARGET_DIR", &target))?;
        }
        if !project.join(metrics).is_file() {
            bail!("the project of `stormfire new --template {template}` left no `{}`", metrics.display());
        }
    }
    Ok(Verdict::Passed)
}

/// Writes the manifest and the program of a page, as a reader copies them.
fn copied(workspace: &Workspace, page: &str, project: &Path) -> Result<()> {
    system::fresh_folder(project)?;
    fs_err::create_dir(project.join("src"))?;
    let checkout = format!("{}/", workspace.root.display());
    fs_err::write(project.join("Cargo.toml"), manifest(page)?.replace(CHECKOUT, &checkout) + "\n[workspace]\n")?;
    fs_err::write(project.join("src/main.rs"), program(page)?)?;
    // The same versions as in all other tests.
    fs_err::copy(workspace.root.join("Cargo.lock"), project.join("Cargo.lock"))?;
    Ok(())
}

/// The crate of the first chapter trains with its table, and predicts.
fn first_chapter(workspace: &Workspace, project: &Path, run: &dyn Fn(&Path, &[&str]) -> Result<String>) -> Result<()> {
    let page = fs_err::read_to_string(workspace.root.join("docs/start.md"))?;
    copied(workspace, &page, project)?;
    fs_err::write(project.join("flowers.csv"), block(&page, "csv")?)?;
    let said = run(project, &[])?;
    let best = said.lines().find_map(|line| line.strip_prefix("best: ")).context("the program of docs/start.md names no checkpoint")?;
    for (flower, species) in [(["1.5", "0.3"], "species 0"), (["6.2", "2.3"], "species 2")] {
        let said = run(project, &[best, flower[0], flower[1]])?;
        if said.trim() != species {
            bail!("the program of docs/start.md says `{said}` for {flower:?}, and not `{species}`");
        }
    }
    Ok(())
}

fn manifest(readme: &str) -> Result<&str> {
    block(readme, "toml")
}

/// The second block of this language.
fn environment(readme: &str) -> Result<&str> {
    let (_, rest) = readme.split_once(manifest(readme)?).context("README.md has no manifest")?;
    block(rest, "toml")
}

/// The first block is a complete program. Later blocks are excerpts.
fn program(page: &str) -> Result<&str> {
    block(page, "rust,no_run").or_else(|_| block(page, "rust"))
}

/// The first code block of this language.
fn block<'a>(text: &'a str, language: &str) -> Result<&'a str> {
    let found = text.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
    found.map(|(block, _)| block).with_context(|| format!("the page has no block of `{language}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
    }

    #[test]
    fn the_readme_has_the_same_dependencies_as_the_tests() {
        let (readme, ours) = (read("README.md"), read("Cargo.toml"));
        let manifest = manifest(&readme).unwrap();
        for begin in ["burn = ", "mimalloc = "] {
            let line = |text: &str| text.lines().find(|line| line.starts_with(begin)).map(str::to_owned).unwrap();
            assert_eq!(line(manifest), line(&ours));
        }
        let profiles: Vec<_> = manifest.lines().filter(|line| line.starts_with("[profile")).collect();
        assert!(profiles.len() > 1 && profiles.iter().all(|line| ours.contains(line)), "{profiles:?}");
        let edition = manifest.lines().find(|line| line.starts_with("edition")).unwrap();
        assert!(ours.contains(edition), "{edition}");
        assert!(manifest.contains(&format!("path = \"{CHECKOUT}crates/stormfire\"")), "{manifest}");
        assert!(read(".cargo/config.toml").contains(environment(&readme).unwrap()));
        assert!(program(&readme).unwrap().contains("fn main()"));
    }

    #[test]
    fn the_first_chapter_has_the_dependencies_of_the_readme() {
        let (readme, chapter) = (read("README.md"), read("docs/start.md"));
        let lines = |page| {
            let ours = |line: &&str| !["name = ", "serde = "].iter().any(|begin| line.starts_with(begin));
            manifest(page).unwrap().lines().filter(ours).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&readme), lines(&chapter));
        assert!(block(&chapter, "csv").is_ok());
        // A reader copies the source of the page, in which hidden lines are visible.
        for page in [&readme, &chapter] {
            let hidden = program(page).unwrap().lines().find(|line| line.trim_start().starts_with("# "));
            assert_eq!(hidden, None);
        }
    }
}
