//! Structural similarity.

use burn::tensor::{Tensor, TensorData, module::conv2d, ops::ConvOptions};
use stormfire_values::{ConfigError, read::sum_dtype};

use super::psnr::check_range;
use crate::{aggregation::Mean, regression::sum};

/// Options of [`ssim`]. The defaults are those of its authors: a Gaussian window of 11 pixels with a deviation of 1.5,
/// `k1 = 0.01` and `k2 = 0.03`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SsimOptions {
    window: usize,
    sigma: f64,
    k1: f64,
    k2: f64,
}

impl Default for SsimOptions {
    fn default() -> Self {
        Self { window: 11, sigma: 1.5, k1: 0.01, k2: 0.03 }
    }
}

impl SsimOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The width of the window in pixels, and the deviation of its Gaussian. Default 11 and 1.5.
    ///
    /// # Errors
    /// The width is even, or the deviation is not positive.
    pub fn window(mut self, pixels: usize, sigma: f64) -> Result<Self, ConfigError> {
        if pixels.is_multiple_of(2) || sigma <= 0.0 || sigma.is_nan() {
            let reason = format!("{pixels} pixels with a deviation of {sigma}");
            return Err(ConfigError::new("SsimOptions::window", reason, "use an odd number of pixels and a positive deviation"));
        }
        (self.window, self.sigma) = (pixels, sigma);
        Ok(self)
    }

    /// The constants that keep divisions by small numbers in bounds. Default 0.01 and 0.03.
    pub fn constants(mut self, k1: f64, k2: f64) -> Self {
        (self.k1, self.k2) = (k1, k2);
        self
    }

    /// The mean structural similarity of images with these options, see [`ssim`].
    ///
    /// # Errors
    /// As [`ssim`].
    pub fn ssim(self, predictions: &Tensor<4>, targets: &Tensor<4>, range: f64) -> Result<Mean, ConfigError> {
        check_range("ssim", range)?;
        let dims @ [images, channels, height, width] = predictions.dims();
        if dims != targets.dims() || height < self.window || width < self.window {
            let reason = format!("the predictions have shape {dims:?}, the targets {:?}", targets.dims());
            let hint = format!("give images `[images, channels, height, width]` of one shape, of at least {0}x{0} pixels", self.window);
            return Err(ConfigError::new("ssim", reason, hint));
        }
        if images * channels == 0 {
            return Ok(Mean::from_sum(0.0, 0.0));
        }
        let dtype = sum_dtype(&predictions.device());
        let planes = |tensor: &Tensor<4>| tensor.clone().inner().cast(dtype).reshape([images * channels, 1, height, width]);
        let (p, t) = (planes(predictions), planes(targets));
        let blurred = |planes: Tensor<4>| self.blurred(planes);
        let (mean_p, mean_t) = (blurred(p.clone()), blurred(t.clone()));
        // Deviations from the mean of all pixels: the square of a large mean would take the digits of the variance.
        let center = t.clone().mean().reshape([1, 1, 1, 1]);
        let (p, t) = (p - center.clone(), t - center.clone());
        let (off_p, off_t) = (mean_p.clone() - center.clone(), mean_t.clone() - center);
        let var_p = (blurred(p.clone().square()) - off_p.clone().square()).clamp_min(0.0);
        let var_t = (blurred(t.clone().square()) - off_t.clone().square()).clamp_min(0.0);
        let covariance = blurred(p * t) - off_p * off_t;
        let (c1, c2) = ((self.k1 * range).powi(2), (self.k2 * range).powi(2));
        let luminance = (mean_p.clone() * mean_t.clone() * 2.0 + c1) / (mean_p.square() + mean_t.square() + c1);
        let similarity = luminance * (covariance * 2.0 + c2) / (var_p + var_t + c2);
        let [_, _, rows, columns] = similarity.dims();
        let of_image = similarity.reshape([images, channels * rows * columns]).mean_dim(1).reshape([images]);
        Ok(Mean::from_sum(sum(of_image), images))
    }

    /// Weighted means of the windows that lie within the image, rows and columns apart.
    fn blurred(self, planes: Tensor<4>) -> Tensor<4> {
        let middle = (self.window / 2) as f64;
        let weights = (0..self.window).map(|pixel| (-((pixel as f64 - middle) / self.sigma).powi(2) / 2.0).exp());
        let weights: Vec<f64> = weights.collect();
        let all: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.into_iter().map(|weight| weight / all).collect();
        let (device, dtype) = (planes.device(), planes.dtype());
        let kernel = |shape: [usize; 4]| -> Tensor<4> {
            Tensor::from_data(TensorData::new(weights.clone(), shape).convert_dtype(dtype), (&device, dtype))
        };
        let options = || ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let columns = conv2d(planes, kernel([1, 1, self.window, 1]), None, options());
        conv2d(columns, kernel([1, 1, 1, self.window]), None, options())
    }
}

/// The mean structural similarity (SSIM) of images `[images, channels, height, width]`, from -1 to 1.
///
/// `range` is the largest value of an image minus the smallest one: 1 or 255. It is required, because a range of a
/// batch would differ between batches. Only windows within the image count, as in the authors' code and in
/// scikit-image.
///
/// # Errors
/// The shapes differ, an image is smaller than the window, or the range is not positive.
pub fn ssim(predictions: &Tensor<4>, targets: &Tensor<4>, range: f64) -> Result<Mean, ConfigError> {
    SsimOptions::new().ssim(predictions, targets, range)
}
