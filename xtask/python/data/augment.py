"""Writes crates/data/src/augment/numpy.json: what numpy makes of batches for given draws.

It needs NumPy only. The inputs are the same in each run.

    python xtask/python/data/augment.py > crates/data/src/augment/numpy.json
"""

import json
from statistics import NormalDist

import numpy

random = numpy.random.default_rng(13)


def array(values):
    values = numpy.asarray(values, float)
    return {"shape": list(values.shape), "values": [round(float(value), 9) for value in values.ravel()]}


def pictures(*shape):
    """Whole numbers, which each float type holds exactly."""
    return random.integers(-99, 100, shape).astype(float)


def crops():
    for shape, size, padding in [
        ((3, 2, 5, 6), (4, 3), 0),
        ((4, 3, 4, 5), (5, 6), 2),
        ((2, 1, 3, 3), (3, 3), 0),
        ((5, 1, 2, 7), (1, 9), 1),
    ]:
        images = pictures(*shape)
        padded = numpy.pad(images, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
        rows, columns = (random.integers(0, padded.shape[axis + 2] - size[axis] + 1, shape[0]) for axis in range(2))
        parts = [image[:, row : row + size[0], column : column + size[1]] for image, row, column in zip(padded, rows, columns)]
        draws = {"rows": rows.tolist(), "columns": columns.tolist()}
        yield {"images": array(images), "size": size, "padding": padding, **draws, "expected": array(parts)}


def flips():
    for flags in [[True, False, True, True], [False, False], [True]]:
        images = pictures(len(flags), 2, 3, 4)
        mirrored = [numpy.fliplr(image.transpose(1, 2, 0)).transpose(2, 0, 1) if flag else image for image, flag in zip(images, flags)]
        yield {"images": array(images), "flags": flags, "expected": array(mirrored)}


def shares_of_classes(items, classes):
    return numpy.eye(classes)[random.integers(0, classes, items)]


def mixups():
    for items, share in [(4, 0.3), (5, 0.875), (1, 0.4), (3, 1.0), (3, 0.0)]:
        images, targets, others = pictures(items, 2, 2, 3), shares_of_classes(items, 3), random.permutation(items)
        mixed = [share * values + (1 - share) * values[others] for values in (images, targets)]
        draws = {"share": share, "others": others.tolist()}
        yield {"images": array(images), "targets": array(targets), **draws, "expected": [array(values) for values in mixed]}


def cutmixes():
    """The formula of the authors' program, https://github.com/clovaai/CutMix-PyTorch."""
    for shape, share, center in [
        ((4, 2, 6, 7), 0.5, (2, 3)),
        ((3, 1, 5, 8), 0.3, (0, 7)),
        ((3, 1, 5, 8), 0.6, (4, 0)),
        ((2, 3, 4, 4), 0.0, (2, 2)),
        ((3, 2, 4, 5), 1.0, (1, 1)),
        ((1, 1, 4, 6), 0.5, (2, 2)),
    ]:
        images, targets, others = pictures(*shape), shares_of_classes(shape[0], 4), random.permutation(shape[0])
        cut = [int(size * numpy.sqrt(1 - share)) // 2 for size in shape[2:]]
        (top, bottom), (left, right) = (numpy.clip([at - half, at + half], 0, size) for at, half, size in zip(center, cut, shape[2:]))
        pasted = images.copy()
        pasted[:, :, top:bottom, left:right] = images[others][:, :, top:bottom, left:right]
        own = 1 - (bottom - top) * (right - left) / (shape[2] * shape[3])
        draws = {"share": share, "center": center, "others": others.tolist()}
        expected = [array(pasted), array(own * targets + (1 - own) * targets[others])]
        yield {"images": array(images), "targets": array(targets), **draws, "expected": expected}


def classes():
    labels = random.integers(0, 5, 7)
    return {"labels": labels.tolist(), "classes": 5, "expected": array(numpy.eye(5)[labels])}


def noise():
    places = [-3.0, -1.5, -0.5, -0.1, 0.0, 0.3, 1.0, 2.0]
    return {"deviation": 0.5, "places": places, "shares": [round(NormalDist(0.0, 0.5).cdf(place), 9) for place in places]}


def main():
    parts = {"crops": list(crops()), "flips": list(flips()), "mixups": list(mixups()), "cutmixes": list(cutmixes())}
    print(json.dumps({**parts, "classes": classes(), "noise": noise()}, separators=(",", ":")))


main()
