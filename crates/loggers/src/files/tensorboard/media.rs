//! Media as `TensorBoard`'s messages.

use std::io::Cursor;

use super::event::{self, Data, Metadata, Tensor};
use crate::{Audio, Error, Figure, Histogram, Image, Result};

/// Markdown.
pub(super) fn text(markdown: &str) -> (Metadata, Data) {
    (Metadata::tensor("text", Vec::new()), Data::Tensor(Tensor::string(markdown.as_bytes().to_vec())))
}

pub(super) fn image(image: &Image) -> Result<Data> {
    Ok(picture(image.width(), image.height(), image.channels().into(), image.to_png()?))
}

pub(super) fn figure(logger: &str, figure: &Figure) -> Result<Data> {
    let figure = as_png(logger, figure)?;
    let invalid = |error: png::DecodingError| Error::InvalidMedia { what: "figure", reason: error.to_string() };
    let reader = png::Decoder::new(Cursor::new(figure.bytes())).read_info().map_err(invalid)?;
    let info = reader.info();
    let channels = match info.color_type {
        png::ColorType::Indexed => 3,
        other => other.samples(),
    };
    Ok(picture(info.width, info.height, i32::try_from(channels).unwrap_or(4), figure.bytes().to_vec()))
}

#[cfg(feature = "rasterize")]
fn as_png(_: &str, figure: &Figure) -> Result<Figure> {
    figure.to_png()
}

#[cfg(not(feature = "rasterize"))]
fn as_png(logger: &str, figure: &Figure) -> Result<Figure> {
    match figure.format() {
        crate::FigureFormat::Png => Ok(figure.clone()),
        crate::FigureFormat::Svg => {
            let what = "SVG figures without the cargo feature `rasterize`";
            Err(crate::Error::Unsupported { logger: logger.to_owned(), what })
        }
    }
}

fn picture(width: u32, height: u32, colorspace: i32, png: Vec<u8>) -> Data {
    let number = |size: u32| i32::try_from(size).unwrap_or(i32::MAX);
    Data::Image(event::Image { height: number(height), width: number(width), colorspace, png })
}

pub(super) fn histogram(histogram: &Histogram) -> Data {
    let stats = histogram.stats();
    Data::Histogram(event::Histogram {
        min: stats.min,
        max: stats.max,
        num: histogram.num(),
        sum: stats.sum,
        sum_squares: stats.sum_squares,
        limits: histogram.limits().to_vec(),
        counts: histogram.counts().to_vec(),
    })
}

pub(super) fn audio(audio: &Audio) -> Result<Data> {
    Ok(Data::Audio(event::Audio {
        sample_rate: audio.sample_rate() as f32,
        channels: audio.channels().into(),
        frames: i64::try_from(audio.frames()).unwrap_or(i64::MAX),
        encoded: audio.to_wav()?,
        content_type: "audio/wav".to_owned(),
    }))
}
