//! Drawings.

#[cfg(feature = "plotters")]
mod draw;
#[cfg(feature = "rasterize")]
mod rasterize;

use crate::{Error, Result};

/// The format of a [`Figure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureFormat {
    /// An SVG document.
    Svg,
    /// A PNG file.
    Png,
}

/// A drawing that a plotting library has rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    format: FigureFormat,
    bytes: Vec<u8>,
}

impl Figure {
    /// A drawing from an SVG document.
    pub fn svg(document: impl Into<String>) -> Self {
        Self { format: FigureFormat::Svg, bytes: document.into().into_bytes() }
    }

    /// A drawing from a PNG file.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the bytes do not have the signature of a PNG file.
    pub fn png(file: Vec<u8>) -> Result<Self> {
        if file.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Ok(Self { format: FigureFormat::Png, bytes: file });
        }
        Err(invalid(&"the bytes are not a PNG file"))
    }

    /// The format of the bytes.
    pub const fn format(&self) -> FigureFormat {
        self.format
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn invalid(reason: &impl ToString) -> Error {
    Error::InvalidMedia { what: "figure", reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_media_is_refused() {
        let error = Figure::png(b"GIF89a".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "invalid figure: the bytes are not a PNG file");
    }
}
