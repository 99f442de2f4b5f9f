//! Images.

mod grid;

use crate::{Error, Result};

/// An image with 8 bits per channel: rows from top to bottom, pixels from left to right, channels interleaved
/// (`[height, width, channels]`).
///
/// ```
/// use stormfire_loggers::Image;
/// let red = Image::new(2, 1, 3, vec![255, 0, 0, 255, 0, 0])?;
/// assert_eq!((red.width(), red.height(), red.channels()), (2, 1, 3));
/// assert_eq!(Image::from_f32(1, 1, 1, &[0.5])?.pixels(), [128]);
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    channels: u8,
    pixels: Vec<u8>,
}

impl Image {
    /// An image of `width * height * channels` bytes. 1 channel is grey, 3 are RGB, 4 are RGBA.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] for an empty image, another number of channels, or a wrong length.
    pub fn new(width: u32, height: u32, channels: u8, pixels: Vec<u8>) -> Result<Self> {
        check(width, height, channels, pixels.len())?;
        Ok(Self { width, height, channels, pixels })
    }

    /// As [`Image::new`], from values in 0..=1, interleaved (`[height, width, channels]`). Values outside are clamped,
    /// NaN becomes 0.
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn from_f32(width: u32, height: u32, channels: u8, values: &[f32]) -> Result<Self> {
        check(width, height, channels, values.len())?;
        Ok(Self { width, height, channels, pixels: values.iter().copied().map(to_byte).collect() })
    }

    /// As [`Image::from_f32`], from consecutive channel planes (`[channels, height, width]`), the usual order in
    /// convolutional networks.
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn from_planes_f32(width: u32, height: u32, channels: u8, values: &[f32]) -> Result<Self> {
        check(width, height, channels, values.len())?;
        let plane = values.len() / usize::from(channels);
        let pixels = (0..plane).flat_map(|pixel| values.iter().skip(pixel).step_by(plane).copied().map(to_byte)).collect();
        Ok(Self { width, height, channels, pixels })
    }

    /// Pixels per row.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Number of rows.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// 1 (grey), 3 (RGB) or 4 (RGBA).
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// The bytes, `[height, width, channels]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The image as a PNG file.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the PNG encoder fails (an image too large for the format).
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder
            .write_header()
            .and_then(|mut writer| {
                writer.write_image_data(&self.pixels)?;
                writer.finish()
            })
            .map_err(|error| invalid(error.to_string()))?;
        Ok(bytes)
    }
}

fn check(width: u32, height: u32, channels: u8, found: usize) -> Result<()> {
    if !matches!(channels, 1 | 3 | 4) {
        return Err(invalid(format!("{channels} channels, expected 1, 3 or 4")));
    }
    let expected = u64::from(width) * u64::from(height) * u64::from(channels);
    if expected == 0 {
        return Err(invalid(format!("the size is {width}x{height}")));
    }
    if expected != found as u64 {
        return Err(invalid(format!("{width}x{height} pixels of {channels} channels are {expected} values, found {found}")));
    }
    Ok(())
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "image", reason }
}

fn to_byte(value: f32) -> u8 {
    // A cast from float saturates and maps NaN to 0.
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let text = |result: Result<Image>| result.unwrap_err().to_string();
        assert_eq!(text(Image::new(2, 3, 3, vec![0; 17])), "invalid image: 2x3 pixels of 3 channels are 18 values, found 17");
        assert_eq!(text(Image::new(1, 1, 2, vec![0; 2])), "invalid image: 2 channels, expected 1, 3 or 4");
        assert_eq!(text(Image::from_f32(0, 3, 1, &[])), "invalid image: the size is 0x3");
    }

    #[test]
    fn floats_are_scaled_cut_off_and_reordered() {
        let image = Image::from_f32(4, 1, 1, &[-1.0, 2.0, f32::NAN, 0.2]).unwrap();
        assert_eq!(image.pixels(), [0, 255, 0, 51]);
        let planes = [1.0, 0.0, 0.0, 1.0, 0.0, 0.2];
        assert_eq!(Image::from_planes_f32(2, 1, 3, &planes).unwrap().pixels(), [255, 0, 0, 0, 255, 51]);
    }

    #[test]
    fn png_reads_back_equal() {
        let pixels: Vec<u8> = (0..24).map(|byte| byte * 10).collect();
        let file = Image::new(3, 2, 4, pixels.clone()).unwrap().to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut decoded).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (3, 2, png::ColorType::Rgba));
        assert_eq!(decoded, pixels);
    }
}
