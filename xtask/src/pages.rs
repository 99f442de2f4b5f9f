//! The page of `stormfire report` in a browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::Verdict;
use crate::system::{self, Workspace};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The actions of a reader: moves the pointer over a chart, hides a run, and switches to dark and logarithmic.
const ACTIONS: &str = r##"<script>addEventListener("load", () => {
  const chart = document.querySelector("svg.chart"), area = chart.getBoundingClientRect();
  chart.dispatchEvent(new PointerEvent("pointermove", { clientX: area.left + area.width * 0.97, clientY: area.top + 20 }));
  const hover = document.querySelector("#hover").textContent, style = (element) => getComputedStyle(element);
  for (const name of ["run0", "dark", "log"]) document.querySelector(`label[for=${name}]`).click();
  document.body.dataset.seen = JSON.stringify({
    hover, run0: style(document.querySelector("g.run0")).display, run1: style(document.querySelector("g.run1")).display,
    page: style(document.body).backgroundColor, log: style(document.querySelector(".both .log")).display,
    images: [...document.images].filter((image) => image.naturalWidth > 0).length === document.images.length,
    wide: document.documentElement.scrollWidth > innerWidth,
  });
});</script>"##;

/// Writes a page about sample runs, and opens it without a screen.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let Some(browser) = browser(workspace)? else {
        return Ok(Verdict::Skipped("there is no browser (Debian: `apt-get install chromium`)".to_owned()));
    };
    let folder = workspace.target.join("pages-run");
    system::fresh_folder(&folder)?;
    let built = system::build(workspace, &["--example", "pictures"])?;
    system::run(workspace.command(system::program(&built.join("examples"), "pictures")).arg(&folder))?;
    let page = folder.join("report.html");
    let html = fs_err::read_to_string(&page)?;
    let without_script = folder.join("no-script.html");
    fs_err::write(&without_script, html.split_once("<script>").context("the page has no script")?.0)?;
    for (name, page, arguments) in [
        ("light", &page, &["--window-size=1280,3600"][..]),
        ("narrow", &page, &["--window-size=500,1600"][..]),
        ("dark", &page, &["--window-size=1280,1600", "--blink-settings=preferredColorScheme=0"][..]),
        ("no-script", &without_script, &["--window-size=1280,1600"][..]),
    ] {
        let picture = folder.join(format!("{name}.png"));
        open(workspace, browser, page, &[&[&*format!("--screenshot={}", picture.display())], arguments].concat())?;
        if fs_err::metadata(&picture)?.len() < 20_000 {
            bail!("the picture `{}` is empty", picture.display());
        }
    }
    let paper = folder.join("report.pdf");
    open(workspace, browser, &page, &[&format!("--print-to-pdf={}", paper.display())])?;
    if fs_err::metadata(&paper)?.len() < 20_000 {
        bail!("the print `{}` is empty", paper.display());
    }
    used(workspace, browser, &folder, &html)?;
    Ok(Verdict::Passed)
}

fn browser(workspace: &Workspace) -> Result<Option<&'static str>> {
    let find = || BROWSERS.into_iter().find(|name| system::has_program(name));
    if find().is_none() && system::is_ci() {
        system::install(workspace, &["chromium"])?;
    }
    Ok(find())
}

/// Opens a page. A message on its console is a failure. Returns what the browser prints.
fn open(workspace: &Workspace, browser: &str, page: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = workspace.command(browser);
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--timeout=20000"]);
    // The page must not need anything but itself.
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND").args(arguments).arg(format!("file://{}", page.display()));
    println!("$ {browser} {} {}", arguments.join(" "), page.display());
    let result = command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{browser}`"))?;
    let log = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        bail!("`{browser}` ended with {}: {log}", result.status);
    }
    if let Some(line) = log.lines().find(|line| line.contains("CONSOLE")) {
        bail!("the page reports on its console: {line}");
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Uses a copy of the page without its security policy, which would refuse the script that presses the buttons.
fn used(workspace: &Workspace, browser: &str, folder: &Path, html: &str) -> Result<()> {
    let (before, rest) = html.split_once("<meta http-equiv=\"Content-Security-Policy\"").context("the page has no security policy")?;
    let (_, after) = rest.split_once('>').context("the policy of the page has no end")?;
    let copy: PathBuf = folder.join("used.html");
    fs_err::write(&copy, format!("{before}{}", after.replace("</body>", &format!("{ACTIONS}</body>"))))?;
    let seen = open(workspace, browser, &copy, &["--window-size=1000,900", "--dump-dom"])?;
    let seen = seen.split_once("data-seen=\"").and_then(|(_, rest)| rest.split_once('"')).context("the page was not used")?.0;
    let seen: Value = serde_json::from_str(&seen.replace("&quot;", "\"").replace("&amp;", "&"))?;
    let hover = seen["hover"].as_str().unwrap_or_default();
    if !hover.contains("version_0") || !hover.contains("step 2") {
        bail!("the pointer over a chart shows {hover:?}");
    }
    let expected = serde_json::json!({
        "hover": hover, "run0": "none", "run1": "inline", "page": "rgb(20, 23, 27)", "log": "block", "images": true, "wide": false,
    });
    if seen != expected {
        bail!("the page is not as expected after its use: {seen}");
    }
    Ok(())
}
