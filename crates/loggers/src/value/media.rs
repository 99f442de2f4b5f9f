//! Text, sound and drawings.

use crate::{Error, Result};

/// A text; backends that can, render it as Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub markdown: String,
}

impl Text {
    /// A text.
    pub fn new(markdown: impl Into<String>) -> Self {
        Self { markdown: markdown.into() }
    }
}

/// A piece of sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    sample_rate: u32,
    channels: u16,
    samples: Vec<f32>,
}

impl Audio {
    /// Sound of `sample_rate` frames a second; `samples` in -1..=1, the channels of a frame interleaved.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the rate or the number of channels is 0, or the samples are not whole frames.
    pub fn new(sample_rate: u32, channels: u16, samples: Vec<f32>) -> Result<Self> {
        let reason = if sample_rate == 0 {
            "the sample rate is 0".to_owned()
        } else if channels == 0 {
            "there are no channels".to_owned()
        } else if !samples.len().is_multiple_of(usize::from(channels)) {
            format!("{} samples are no whole frames of {channels} channels", samples.len())
        } else {
            return Ok(Self { sample_rate, channels, samples });
        };
        Err(Error::InvalidMedia { what: "audio", reason })
    }

    /// Frames a second.
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples in a frame.
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// The samples, in -1..=1, frame after frame.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }
}

/// How the bytes of a [`Figure`] are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureFormat {
    /// An SVG document.
    Svg,
    /// A PNG file.
    Png,
}

/// A drawing, already rendered by a plotting library.
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
    /// [`Error::InvalidMedia`] if the bytes do not begin as a PNG file does.
    pub fn png(file: Vec<u8>) -> Result<Self> {
        if file.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Ok(Self { format: FigureFormat::Png, bytes: file });
        }
        Err(Error::InvalidMedia { what: "figure", reason: "the bytes are no PNG file".to_owned() })
    }

    /// How the bytes are to be read.
    pub const fn format(&self) -> FigureFormat {
        self.format
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_media_is_refused() {
        let text = |error: Error| error.to_string();
        assert_eq!(text(Audio::new(8000, 2, vec![0.0; 3]).unwrap_err()), "invalid audio: 3 samples are no whole frames of 2 channels");
        assert_eq!(text(Audio::new(0, 1, vec![]).unwrap_err()), "invalid audio: the sample rate is 0");
        assert_eq!(text(Audio::new(1, 0, vec![]).unwrap_err()), "invalid audio: there are no channels");
        assert_eq!(text(Figure::png(b"GIF89a".to_vec()).unwrap_err()), "invalid figure: the bytes are no PNG file");
    }
}
