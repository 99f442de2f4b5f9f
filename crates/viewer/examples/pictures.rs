//! Writes a sample of runs, and the page about them: `cargo run -p stormfire-viewer --example pictures -- FOLDER`.

#[path = "../src/samples.rs"]
mod samples;

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: pictures FOLDER")?);
    let runs = samples::write(&folder.join("lightning_logs"))?;
    stormfire_viewer::report::write(&runs, &folder.join("report.html"))?;
    print!("{}", stormfire_viewer::watch::snapshot(&[folder.join("lightning_logs")], (80, 24), &[])?);
    Ok(())
}
