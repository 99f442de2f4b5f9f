//! Rasterizes SVG documents.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::{Figure, FigureFormat, invalid};
use crate::Result;

/// See `assets/README.md`.
static FONT: &[u8] = include_bytes!("../../../assets/NotoSans-Subset.ttf");
const FAMILY: &str = "Noto Sans";

/// Does not use the fonts of the system, so that a drawing looks the same on every machine.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    fonts.set_serif_family(FAMILY);
    fonts.set_monospace_family(FAMILY);
    fonts.set_cursive_family(FAMILY);
    fonts.set_fantasy_family(FAMILY);
    Arc::new(fonts)
});

impl Figure {
    /// The drawing as a PNG file with the size of the SVG document. A PNG file is returned unchanged. Requires the
    /// cargo feature `rasterize`.
    ///
    /// All texts use the bundled font Noto Sans, with Latin, Greek and Cyrillic letters. Other letters are missing. The
    /// fonts of the machine are not used, so that a drawing has the same pixels everywhere.
    ///
    /// ```
    /// use stormfire_loggers::{Figure, FigureFormat};
    /// let figure = Figure::svg(r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"><text y="4">é</text></svg>"#);
    /// assert_eq!(figure.to_png()?.format(), FigureFormat::Png);
    /// # Ok::<(), stormfire_loggers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidMedia`](crate::Error::InvalidMedia) if the document is not valid SVG or is too large.
    pub fn to_png(&self) -> Result<Self> {
        if self.format == FigureFormat::Png {
            return Ok(self.clone());
        }
        let options = Options { fontdb: Arc::clone(&FONTS), font_family: FAMILY.to_owned(), ..Options::default() };
        let tree = Tree::from_data(&self.bytes, &options).map_err(|error| invalid(&error))?;
        let size = tree.size().to_int_size();
        let Some(mut pixels) = Pixmap::new(size.width(), size.height()) else {
            return Err(invalid(&format!("{}x{} pixels are too many", size.width(), size.height())));
        };
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        Self::png(pixels.encode_png().map_err(|error| invalid(&error))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;

    /// The image in a PNG file.
    fn decoded(figure: &Figure) -> Image {
        let mut reader = png::Decoder::new(std::io::Cursor::new(figure.bytes())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        Image::new(info.width, info.height, 4, pixels).unwrap()
    }

    fn document(inside: &str) -> Figure {
        Figure::svg(format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">{inside}</svg>"#))
    }

    #[test]
    fn shapes_have_their_pixels() {
        let image = decoded(&document(r##"<rect x="10" width="10" height="5" fill="#f00"/>"##).to_png().unwrap());
        assert_eq!((image.width(), image.height()), (40, 20));
        let pixel = |x: usize, y: usize| &image.pixels()[(y * 40 + x) * 4..][..4];
        assert_eq!([pixel(10, 0), pixel(19, 4)], [[255, 0, 0, 255]; 2]);
        assert_eq!([pixel(9, 0), pixel(20, 0), pixel(10, 5)], [[0; 4]; 3]);
    }

    #[test]
    fn texts_are_written_with_any_requested_font() {
        let ink = |family: &str, text: &str| {
            let text = format!(r#"<text y="16" font-size="16" font-family="{family}">{text}</text>"#);
            let image = decoded(&document(&text).to_png().unwrap());
            image.pixels().iter().skip(3).step_by(4).map(|alpha| u32::from(*alpha)).sum::<u32>()
        };
        let expected = ink("Noto Sans", "aß−λж");
        assert!(expected > 10_000, "{expected}");
        for family in ["sans-serif", "monospace", "Some Unknown Font"] {
            assert_eq!(ink(family, "aß−λж"), expected, "{family}");
        }
        assert!(ink("sans-serif", "a") < expected);
    }

    #[test]
    fn an_invalid_svg_is_refused() {
        let error = Figure::svg("<html/>").to_png().unwrap_err();
        insta::assert_snapshot!(error, @"invalid figure: SVG data parsing failed cause the document does not have a root node");
    }
}
