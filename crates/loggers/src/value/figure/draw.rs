//! Drawings made with `plotters`.

use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::prelude::SVGBackend;
use plotters::style::WHITE;

use super::{Figure, invalid};
use crate::Result;

impl Figure {
    /// Draws a figure of `size` (width and height, in pixels) with [`plotters`], on a white background, as SVG.
    /// Requires the cargo feature `plotters`. The crate is re-exported as
    /// [`stormfire_loggers::plotters`](crate::plotters).
    ///
    /// Without the font features of `plotters`, text sizes are estimated, which suffices for the labels of a chart.
    ///
    /// ```
    /// use stormfire_loggers::{Figure, plotters::prelude::*};
    /// let figure = Figure::draw((320, 240), |area| {
    ///     let mut chart = ChartBuilder::on(area)
    ///         .margin(8)
    ///         .x_label_area_size(24)
    ///         .y_label_area_size(32)
    ///         .build_cartesian_2d(0.0..10.0, 0.0..100.0)?;
    ///     chart.configure_mesh().draw()?;
    ///     chart.draw_series(LineSeries::new((0..=10).map(f64::from).map(|x| (x, x * x)), &BLUE))?;
    ///     Ok(())
    /// })?;
    /// assert!(figure.bytes().starts_with(b"<svg "));
    /// # Ok::<(), stormfire_loggers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidMedia`](crate::Error::InvalidMedia) if the closure fails.
    pub fn draw(
        size: (u32, u32),
        draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Self> {
        let mut document = String::new();
        {
            let area = SVGBackend::with_string(&mut document, size).into_drawing_area();
            area.fill(&WHITE).map_err(|error| invalid(&error))?;
            draw(&area).map_err(|error| invalid(&error))?;
            area.present().map_err(|error| invalid(&error))?;
        }
        Ok(Self::svg(document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_the_closure_is_reported() {
        let error = Figure::draw((10, 10), |_| Err("no data".into())).unwrap_err();
        assert_eq!(error.to_string(), "invalid figure: no data");
    }
}
