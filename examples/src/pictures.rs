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

/// The number of pixels on each side of [`scatter`].
const SIDE: usize = 400;

/// Points as an image, with a color for each group. The middle is 0, and the sides are at -1.5 and 1.5.
///
/// # Errors
/// Never with the size that it has.
pub fn scatter(groups: &[(&[[f32; 2]], [u8; 3])]) -> Result<Image> {
    let mut pixels = vec![255; SIDE * SIDE * 3];
    for (points, color) in groups {
        for [x, y] in *points {
            let [column, row] = [x, &-y].map(|v| ((v / 3.0 + 0.5) * SIDE as f32) as usize).map(|pixel| pixel.min(SIDE - 2));
            for at in [row * SIDE + column, row * SIDE + column + 1, (row + 1) * SIDE + column, (row + 1) * SIDE + column + 1] {
                pixels[3 * at..3 * at + 3].copy_from_slice(color);
            }
        }
    }
    Ok(Image::new(SIDE as u32, SIDE as u32, 3, pixels)?)
}

fn save(folder: Option<&Path>, file: &str, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = folder {
        let path = folder.join(file);
        fs_err::write(&path, bytes)?;
        println!("see {}", path.display());
    }
    Ok(())
}
