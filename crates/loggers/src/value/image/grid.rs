//! Combines several images.

use super::{Image, invalid};
use crate::Result;

impl Image {
    /// Arranges the images in rows of `columns`, with `padding` pixels of `pad_value` around each, as `make_grid` of
    /// torchvision (whose defaults are 8, 2 and 0).
    ///
    /// As in torchvision, grey images become RGB, and a single image is returned without padding.
    ///
    /// ```
    /// use stormfire_loggers::Image;
    /// let tile = Image::new(28, 28, 1, vec![0; 28 * 28])?;
    /// let grid = Image::grid(&vec![tile; 10], 8, 2, 255)?;
    /// assert_eq!((grid.width(), grid.height(), grid.channels()), (8 * 30 + 2, 2 * 30 + 2, 3));
    /// # Ok::<(), stormfire_loggers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidMedia`](crate::Error::InvalidMedia) without images or columns, or if the images differ in size
    /// or channels, or the grid exceeds the maximum size of an image.
    pub fn grid(images: &[Image], columns: usize, padding: u32, pad_value: u8) -> Result<Self> {
        let Some(first) = images.first() else { return Err(invalid("there are no images for a grid".to_owned())) };
        if columns == 0 {
            return Err(invalid("a grid has 0 columns".to_owned()));
        }
        let about = |image: &Image| format!("{}x{} pixels of {} channels", image.width, image.height, image.channels);
        if let Some(other) = images.iter().find(|other| about(other) != about(first)) {
            return Err(invalid(format!("a grid of images with {} and with {}", about(first), about(other))));
        }
        if images.len() == 1 {
            return Ok(first.to_rgb());
        }
        let (columns, rows) = (columns.min(images.len()), images.len().div_ceil(columns.min(images.len())));
        let length = |count: usize, size: u32| -> Option<usize> {
            let side = u64::from(size).checked_add(padding.into())?.checked_mul(count as u64)?.checked_add(padding.into())?;
            Some(u32::try_from(side).ok()? as usize)
        };
        let channels = usize::from(if first.channels == 1 { 3 } else { first.channels });
        let size = length(columns, first.width).zip(length(rows, first.height));
        let bytes = size.and_then(|(width, height)| width.checked_mul(height)?.checked_mul(channels));
        let (Some((width, height)), Some(bytes)) = (size, bytes) else {
            return Err(invalid(format!("a grid of {} images with {} is too large", images.len(), about(first))));
        };
        let mut pixels = vec![pad_value; bytes];
        let step = |size: u32| (size + padding) as usize;
        let line = first.width as usize * channels;
        for (index, image) in images.iter().enumerate() {
            let (column, row) = (index % columns, index / columns);
            let left = (column * step(first.width) + padding as usize) * channels;
            let top = row * step(first.height) + padding as usize;
            for (number, source) in image.to_rgb().pixels.chunks(line).enumerate() {
                let start = (top + number) * width * channels + left;
                pixels[start..start + line].copy_from_slice(source);
            }
        }
        Ok(Self { width: width as u32, height: height as u32, channels: channels as u8, pixels })
    }

    /// Grey images with three equal channels, others unchanged.
    fn to_rgb(&self) -> Self {
        if self.channels != 1 {
            return self.clone();
        }
        Self { channels: 3, pixels: self.pixels.iter().flat_map(|grey| [*grey; 3]).collect(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, value: u8) -> Image {
        Image::new(width, height, 1, vec![value; (width * height) as usize]).unwrap()
    }

    fn channel(image: &Image, channel: usize) -> Vec<Vec<u8>> {
        let line = image.width as usize * usize::from(image.channels);
        image.pixels.chunks(line).map(|row| row.iter().skip(channel).step_by(image.channels.into()).copied().collect()).collect()
    }

    #[test]
    fn tiles_lie_as_torchvision_puts_them() {
        let grid = Image::grid(&[grey(2, 1, 1), grey(2, 1, 2), grey(2, 1, 3)], 2, 1, 9).unwrap();
        // torchvision.utils.make_grid([full((1, 1, 2), i) for i in (1, 2, 3)], nrow=2, padding=1, pad_value=9)[0]
        let expected = [[9, 9, 9, 9, 9, 9, 9], [9, 1, 1, 9, 2, 2, 9], [9; 7], [9, 3, 3, 9, 9, 9, 9], [9; 7]];
        for number in 0..3 {
            assert_eq!(channel(&grid, number), expected);
        }
        let narrow = Image::grid(&[grey(1, 1, 1), grey(1, 1, 2)], 8, 0, 9).unwrap();
        assert_eq!((narrow.width, narrow.height, channel(&narrow, 2)), (2, 1, vec![vec![1, 2]]));
    }

    #[test]
    fn other_channels_stay_and_a_single_image_gets_no_padding() {
        let tile = Image::new(1, 1, 4, vec![1, 2, 3, 4]).unwrap();
        let grid = Image::grid(&[tile.clone(), tile.clone()], 1, 0, 0).unwrap();
        assert_eq!((grid.channels, &grid.pixels[..]), (4, &[1, 2, 3, 4, 1, 2, 3, 4][..]));
        assert_eq!(Image::grid(std::slice::from_ref(&tile), 8, 2, 0).unwrap(), tile);
        assert_eq!(Image::grid(&[grey(1, 2, 7)], 8, 2, 0).unwrap(), Image::new(1, 2, 3, vec![7; 6]).unwrap());
    }

    #[test]
    fn images_that_cannot_form_a_grid_are_refused() {
        let text = |result: Result<Image>| result.unwrap_err().to_string();
        assert_eq!(text(Image::grid(&[], 8, 2, 0)), "invalid image: there are no images for a grid");
        assert_eq!(text(Image::grid(&[grey(1, 1, 0)], 0, 2, 0)), "invalid image: a grid has 0 columns");
        let mixed = text(Image::grid(&[grey(1, 2, 0), grey(2, 1, 0)], 8, 2, 0));
        assert_eq!(mixed, "invalid image: a grid of images with 1x2 pixels of 1 channels and with 2x1 pixels of 1 channels");
        let large = text(Image::grid(&vec![grey(1, 1, 0); 2], 2, u32::MAX, 0));
        assert_eq!(large, "invalid image: a grid of 2 images with 1x1 pixels of 1 channels is too large");
    }
}
