"""Cases of object detection, with the numbers of pycocotools: `detection.py FILE`.

It needs pycocotools 2.0.11 and numpy 1.26.4, which no other test needs. Its result is in
`crates/metrics/tests/oracle/detection.json`. Coordinates are quarters, which are exact in `f32`.
"""

import contextlib
import io
import json
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = "map map_50 map_75 map_small map_medium map_large mar_1 mar_10 mar_100 mar_small mar_medium mar_large".split()


def quarters(values):
    return np.round(np.asarray(values) * 4) / 4


def case(name, seed, images, classes, objects, extra, noise, crowds=0.0, sizes=(4, 200), ties=False, areas=False, only=None):
    draw = np.random.default_rng(seed)
    inputs = {key: [] for key in ("found", "scores", "found_classes", "objects", "classes", "crowd", "areas")}
    for _ in range(images):
        count = int(draw.integers(0, objects + 1))
        corner, size = draw.uniform(0, 300, (count, 2)), draw.uniform(*sizes, (count, 2))
        boxes = quarters(np.concatenate([corner, corner + size], 1))
        labels = draw.integers(0, classes, count)
        if only is not None:
            labels = np.full(count, only)
        # Most objects are found, somewhere near, some of them twice; and there are wrong boxes.
        near = np.concatenate([boxes, boxes[: count // 3]]) + draw.normal(0, noise, (count + count // 3, 4))
        wrong = draw.uniform(0, 300, (int(draw.integers(0, extra + 1)), 2))
        wrong = np.concatenate([wrong, wrong + draw.uniform(*sizes, wrong.shape)], 1)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        found = quarters(np.concatenate([near, wrong])) if count + len(wrong) else np.zeros((0, 4))
        kept = draw.uniform(size=len(found)) < 0.85
        found = found[kept]
        found_labels = np.concatenate([labels, labels[: count // 3], draw.integers(0, classes, len(wrong))])[kept]
        scores = draw.integers(1, 8, len(found)) / 8 if ties else draw.uniform(size=len(found)).astype(np.float32)
        crowd = (draw.uniform(size=count) < crowds).astype(int)
        area = quarters((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * (0.5 if areas else 1.0))
        row = (found, scores, found_labels, boxes, labels, crowd, area)
        for key, value in zip(inputs, row):
            inputs[key].append(np.asarray(value).tolist())
    return {"name": name, "inputs": inputs, "options": {"classes": classes, "areas": areas}, "expected": expected(inputs, classes)}


def expected(inputs, classes):
    annotations, results = [], []
    for image in range(len(inputs["found"])):
        rows = zip(inputs["objects"][image], inputs["classes"][image], inputs["crowd"][image], inputs["areas"][image])
        for (left, top, right, bottom), label, crowd, area in rows:
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": label, "iscrowd": crowd,
                                "bbox": [left, top, right - left, bottom - top], "area": area})
        for (left, top, right, bottom), score, label in zip(inputs["found"][image], inputs["scores"][image], inputs["found_classes"][image]):
            results.append({"image_id": image, "category_id": label, "score": score, "bbox": [left, top, right - left, bottom - top]})
    truth = COCO()
    truth.dataset = {"images": [{"id": image} for image in range(len(inputs["found"]))], "annotations": annotations,
                     "categories": [{"id": label} for label in range(classes)]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else COCO(), "bbox")
        if not results:
            evaluation.cocoDt.dataset = dict(truth.dataset, annotations=[])
            evaluation.cocoDt.createIndex()
        evaluation.params.imgIds = list(range(len(inputs["found"])))
        evaluation.params.catIds = list(range(classes))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    missing = lambda value: "nan" if value == -1 else float(value)
    # [iou, recall, class, area, most]
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    of_classes = [missing(precision[:, :, label].mean()) for label in range(classes)]
    return {"summary": [missing(value) for value in evaluation.stats], "per_class": of_classes, "map": missing(evaluation.stats[0])}


def main(path):
    cases = [
        case("few", 1, 6, 2, 4, 2, 2.0),
        case("many classes, most of them rare", 2, 8, 7, 5, 3, 4.0),
        case("crowds", 3, 8, 2, 6, 3, 3.0, crowds=0.4),
        case("ties", 4, 8, 2, 5, 5, 3.0, ties=True),
        case("areas of masks", 5, 8, 2, 5, 2, 2.0, areas=True),
        case("only small", 6, 5, 2, 5, 2, 0.5, sizes=(2, 20)),
        case("exact", 7, 5, 2, 4, 0, 0.0),
        case("one class only", 8, 5, 3, 4, 2, 2.0, only=1),
        case("nothing is there", 9, 4, 2, 0, 3, 2.0),
        case("nothing at all", 10, 3, 2, 0, 0, 2.0),
        case("more boxes than count", 14, 2, 1, 12, 400, 1.0),
        case("dense", 12, 3, 1, 25, 20, 6.0, sizes=(60, 150), crowds=0.1),
    ]
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


main(sys.argv[1])
