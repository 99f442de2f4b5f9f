//! The book: mdBook makes pages of `docs/`, whose links are then checked.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::linters;
use crate::system::{self, Workspace};

/// Files of mdBook that repeat the content of others.
const REPEATED: [&str; 3] = ["404.html", "print.html", "toc.html"];

/// The folder in the book for files of the project.
const FILES: &str = "files";

/// Builds the book. Returns its folder.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let source = workspace.root.join("docs");
    let summary = fs_err::read_to_string(source.join("SUMMARY.md"))?;
    let pages = files(&source, "md")?;
    if let Some(page) = missing(&summary, &pages) {
        bail!("`docs/SUMMARY.md` does not name the page `{page}`");
    }
    let folder = workspace.target.join("book");
    system::fresh_folder(&folder)?;
    let mdbook = linters::program(workspace, "mdbook")?;
    system::run(workspace.command(mdbook).arg("build").arg("docs").arg("--dest-dir").arg(&folder))?;
    let mut pages = HashMap::new();
    for name in files(&folder, "html")?.into_iter().filter(|name| !REPEATED.contains(&name.as_str())) {
        let html = fs_err::read_to_string(folder.join(&name))?;
        let (html, sources) = with_files(&html);
        for source in sources {
            let copy = folder.join(FILES).join(&source);
            fs_err::create_dir_all(copy.with_file_name(""))?;
            fs_err::copy(workspace.root.join(&source), copy)?;
        }
        fs_err::write(folder.join(&name), &html)?;
        pages.insert(name, html);
    }
    let broken = broken_links(&pages, &|path| folder.join(path).is_file());
    for link in &broken {
        println!("{link}");
    }
    match broken.first() {
        None => println!("{} pages in `{}`", pages.len(), folder.display()),
        Some(first) => bail!("{} broken links in the book, such as {first}", broken.len()),
    }
    Ok(folder)
}

/// A page whose links to other files of the project, such as `../examples/mnist.rs`, lead to copies in the book. Also
/// returns the paths of these files in the project.
fn with_files(html: &str) -> (String, Vec<String>) {
    let mut page = html.to_owned();
    let mut sources = Vec::new();
    for link in attributes(html, "href").into_iter().chain(attributes(html, "src")) {
        if let Some(source) = link.strip_prefix("../").filter(|source| !sources.iter().any(|known| known == source)) {
            page = page.replace(&format!("\"{link}\""), &format!("\"{FILES}/{source}\""));
            sources.push(source.to_owned());
        }
    }
    (page, sources)
}

/// The names of the files in a folder with this extension.
fn files(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            names.push(path.file_name().and_then(|name| name.to_str()).context("the name of a page is not UTF-8")?.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// A page that the table of contents does not name.
fn missing<'a>(summary: &str, pages: &'a [String]) -> Option<&'a String> {
    pages.iter().find(|page| *page != "SUMMARY.md" && !summary.contains(&format!("({page})")))
}

/// The links of the pages that lead nowhere, as `PAGE: LINK`. All pages are in one folder.
fn broken_links(pages: &HashMap<String, String>, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let anchors: HashMap<&str, HashSet<&str>> =
        pages.iter().map(|(name, html)| (name.as_str(), attributes(html, "id").into_iter().collect())).collect();
    let mut broken = Vec::new();
    for (name, html) in pages {
        for link in attributes(html, "href").into_iter().chain(attributes(html, "src")) {
            if link.contains(':') || link.is_empty() {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { name.as_str() } else { file };
            let is_known = match anchors.get(file) {
                Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
                None => exists(file),
            };
            if !is_known {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    broken.sort();
    broken.dedup();
    broken
}

/// The values of an attribute of all elements.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.match_indices(&start).filter_map(|(at, found)| html[at + found.len()..].split_once('"').map(|(value, _)| value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_missing_pages_anchors_and_pictures_are_found() {
        let page = |html: &str| html.to_owned();
        let pages = HashMap::from([
            (page("a.html"), page(r##"<h2 id="top"></h2><a href="#top"></a><a href="b.html#part"></a><img src="watch.svg">"##)),
            (
                page("b.html"),
                page(r##"<a href="#part"></a><a href="../gone.rs"></a><a href="a.html"></a><a href="https://a.org/#x"></a>"##),
            ),
        ]);
        let broken = broken_links(&pages, &|path| path == "watch.svg");
        assert_eq!(broken, ["a.html: b.html#part", "b.html: #part", "b.html: ../gone.rs"]);
    }

    #[test]
    fn files_of_the_project_are_in_the_book() {
        let (page, sources) = with_files(r#"<a href="../examples/mnist.rs"></a><a href="a.html"></a><a href="../examples/mnist.rs"></a>"#);
        assert_eq!(sources, ["examples/mnist.rs"]);
        assert_eq!(page, r#"<a href="files/examples/mnist.rs"></a><a href="a.html"></a><a href="files/examples/mnist.rs"></a>"#);
    }

    #[test]
    fn a_page_outside_of_the_table_of_contents_is_found() {
        let pages = ["SUMMARY.md".to_owned(), "a.md".to_owned(), "b.md".to_owned()];
        assert_eq!(missing("* [A](a.md)\n", &pages), Some(&pages[2]));
        assert_eq!(missing("* [A](a.md)\n* [B](b.md)\n", &pages), None);
    }
}
