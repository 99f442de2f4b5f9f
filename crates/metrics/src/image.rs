//! Images: how near they are to others, and how well their regions are found.

mod psnr;
pub mod segmentation;
mod ssim;

pub use psnr::{Psnr, psnr};
pub use segmentation::{Segmentation, SegmentationScore, segmentation};
pub use ssim::{SsimOptions, ssim};
