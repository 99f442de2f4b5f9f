//! Writes a sample of runs, and how they look: `cargo run -p stormfire-viewer --example pictures -- FOLDER`. Its
//! `watch.svg` is the picture in `docs/`.

#[path = "../src/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};

use stormfire_viewer::watch::{self, Key};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: pictures FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    // The pictures do not contain the name of the folder.
    std::env::set_current_dir(&folder)?;
    let logs = PathBuf::from("lightning_logs");
    let runs = samples::write(&logs)?;
    stormfire_viewer::report::write(&runs, Path::new("report.html"))?;
    std::fs::write("watch.svg", watch::picture(std::slice::from_ref(&logs), (100, 30), &[Key::Char('s')])?)?;
    print!("{}", watch::snapshot(&[logs], (80, 24), &[])?);
    Ok(())
}
