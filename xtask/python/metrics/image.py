"""Images and their regions."""

import numpy
import torch
import torchmetrics.functional.image as tm
from torchmetrics.functional.segmentation import mean_iou

from common import attempt, case


def images():
    generator = numpy.random.default_rng(41)
    for count, channels, height, width in [(1, 1, 11, 11), (3, 3, 16, 20), (4, 1, 24, 13)]:
        for noise, scale in [(0.1, 1.0), (1.0, 1.0), (0.05, 255.0)]:
            targets = generator.random((count, channels, height, width))
            predictions = numpy.clip(targets + noise * generator.normal(size=targets.shape), 0, 1)
            yield f"{count}x{channels}x{height}x{width} noise {noise} of {scale}", (predictions * scale).astype(numpy.float32), (targets * scale).astype(numpy.float32), scale
    same = generator.random((2, 1, 12, 12)).astype(numpy.float32)
    yield "equal", same, same, 1.0
    yield "flat", numpy.full((2, 1, 12, 12), 0.75, numpy.float32), numpy.full((2, 1, 12, 12), 0.5, numpy.float32), 1.0


def image():
    for name, predictions, targets, scale in images():
        p, t = torch.tensor(predictions, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64)
        expected = {}
        attempt(expected, "psnr", lambda: tm.peak_signal_noise_ratio(p, t, data_range=scale))

        def ssim():
            # The mean of the windows within the image. Some versions of torchmetrics also count windows of reflected pixels.
            full = tm.structural_similarity_index_measure(p, t, data_range=scale, return_full_image=True, reduction="none")[1]
            return full[..., 5:-5, 5:-5].mean()

        attempt(expected, "ssim", ssim)
        yield case(name, {"predictions": predictions, "targets": targets}, {"range": scale}, expected)


def by_class(values, keep):
    """The mean of the images in which a class occurs. torchmetrics before 1.5 counts a missing class as 0."""
    return [values[keep[:, of], of].mean() if keep[:, of].any() else float("nan") for of in range(values.shape[1])]


def segmentation():
    generator = numpy.random.default_rng(42)
    for count, classes, present in [(1, 2, 2), (5, 4, 4), (5, 4, 3), (12, 6, 2)]:
        targets = generator.integers(0, present, (count, 7, 5))
        predictions = numpy.where(generator.random(targets.shape) < 0.6, targets, generator.integers(0, present, targets.shape))
        # One-hot, because torchmetrics takes class indices of 0 and 1 for that.
        p, t = [torch.nn.functional.one_hot(torch.tensor(part), classes).movedim(-1, 1) for part in [predictions, targets]]
        keep = ((p.sum((2, 3)) + t.sum((2, 3))) > 0).numpy()
        iou = mean_iou(p, t, num_classes=classes, per_class=True).numpy()
        both, all_of = (p & t).sum((2, 3)).numpy(), (p + t).sum((2, 3)).numpy()
        dice = 2 * both / numpy.maximum(all_of, 1)
        expected = {}
        for key, values in [("iou", iou), ("dice", dice)]:
            values = numpy.where(keep, values.astype(float), numpy.nan)
            expected[f"{key}/none"] = by_class(values, keep)
            # As the classes of torchmetrics 1.9: MeanIoU counts each class of each image, DiceScore each image.
            over = (lambda part: numpy.nanmean(part)) if key == "iou" else (lambda part: numpy.nanmean(numpy.nanmean(part, axis=1)))
            expected[key] = over(values)
            expected[f"{key}/no_background"] = over(values[:, 1:])
        yield case(f"{count} images of {classes} classes, {present} present", {"predictions": predictions, "targets": targets}, {"classes": classes}, expected)


KINDS = {"image": image, "segmentation": segmentation}
