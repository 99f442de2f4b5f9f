//! Images and their regions.

use std::ops::Range;

use burn::tensor::Tensor;
use stormfire_metrics::image::{psnr, segmentation, ssim};

use crate::support::{cases, check, check_within};

#[test]
fn images_equal_those_of_torchmetrics() {
    for case in cases("image") {
        let range = case.number("range");
        let inputs = |rows: &Range<usize>| -> [Tensor<4>; 2] { ["predictions", "targets"].map(|name| case.floats::<4>(name, rows, &[])) };
        for (key, expected) in case.expected() {
            match key {
                "psnr" => check_within(&case, key, &expected, 1e-4, |rows| {
                    let [p, t] = inputs(&rows);
                    psnr(&p, &t, range).unwrap()
                }),
                "ssim" => check_within(&case, key, &expected, 1e-4, |rows| {
                    let [p, t] = inputs(&rows);
                    ssim(&p, &t, range).unwrap()
                }),
                _ => panic!("no metric `{key}`"),
            }
        }
    }
}

#[test]
fn regions_equal_those_of_torchmetrics() {
    for case in cases("segmentation") {
        let classes = case.number("classes") as usize;
        let of =
            |rows: Range<usize>| segmentation(&case.ints::<3>("predictions", &rows), &case.ints::<3>("targets", &rows), classes).unwrap();
        for (key, expected) in case.expected() {
            match key {
                "iou" => check(&case, key, &expected, |rows| of(rows).mean_iou()),
                "iou/none" => check(&case, key, &expected, |rows| of(rows).mean_iou().per_class()),
                "iou/no_background" => check(&case, key, &expected, |rows| of(rows).without_background().mean_iou()),
                "dice" => check(&case, key, &expected, |rows| of(rows).mean_dice()),
                "dice/none" => check(&case, key, &expected, |rows| of(rows).mean_dice().per_class()),
                "dice/no_background" => check(&case, key, &expected, |rows| of(rows).without_background().mean_dice()),
                _ => panic!("no metric `{key}`"),
            }
        }
    }
}
