//! Pictures of a result, in the folder of its run.

use std::path::Path;

use stormfire::{
    loggers::Image,
    metrics::Picture,
    prelude::{Result, media},
};

/// Draws a matrix or curves as `NAME.svg`. Does nothing without a folder, for a Trainer without loggers.
///
/// # Errors
/// For a file that cannot be written.
pub fn save_drawing(folder: Option<&Path>, name: &str, picture: impl Into<Picture>) -> Result<()> {
    media::figure(&picture.into()).map_or(Ok(()), |figure| save(folder, &format!("{name}.svg"), figure.bytes()))
}

/// Writes an image as `NAME.png`, like [`save_drawing`].
///
/// # Errors
/// For a file that cannot be written.
pub fn save_image(folder: Option<&Path>, name: &str, image: &Image) -> Result<()> {
    save(folder, &format!("{name}.png"), &image.to_png()?)
}

fn save(folder: Option<&Path>, file: &str, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = folder {
        let path = folder.join(file);
        fs_err::write(&path, bytes)?;
        println!("see {}", path.display());
    }
    Ok(())
}
