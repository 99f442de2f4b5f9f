"""Writes the probabilities that EfficientNet-Lite0 gives to the classes of some photos, calculated by PyTorch with the
program of the authors of the weights.

    efficientnet.py DATA > examples/testdata/efficientnet.json

DATA is the folder that `cargo xtask data` makes. Run it with the Python of `target/venv-torch`, in which
`efficientnet-lite-pytorch==0.1.0` and `Pillow` are installed.
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIZE = 224
# The classes of ImageNet that are right: tabby, tiger cat, Persian, Siamese and Egyptian cat; espresso; missile and
# projectile; tripod.
RIGHT = {"cat": [281, 282, 283, 284, 285], "espresso": [967], "rocket": [657, 744], "tripod": [872]}


def middle(path):
    """The middle of a photo, after a reduction by a whole number."""
    image = numpy.asarray(Image.open(path).convert("RGB"), numpy.float32)
    by = min(image.shape[:2]) // SIZE
    height, width = (side // by for side in image.shape[:2])
    image = image[: height * by, : width * by].reshape(height, by, width, by, 3).mean((1, 3))
    top, left = (height - SIZE) // 2, (width - SIZE) // 2
    return image[top : top + SIZE, left : left + SIZE]


def main():
    data = Path(sys.argv[1])
    torch.set_num_threads(1)
    sys.stdout, printed = sys.stderr, sys.stdout
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(data / "efficientnet-lite0.pth")).eval()
    sys.stdout = printed
    photos = []
    for name, right in RIGHT.items():
        (path,) = (data / "known" / name).iterdir()
        inputs = torch.tensor((middle(path) - 127) / 128).permute(2, 0, 1)[None]
        with torch.no_grad():
            probabilities = network(inputs).softmax(-1)[0]
        values, classes = probabilities.topk(5)
        expected = [[int(c), round(float(v), 6)] for c, v in zip(classes, values)]
        within = 1e-2 if path.suffix == ".jpg" else 1e-4
        photos.append({"class": name, "right": right, "expected": expected, "within": within})
    print(json.dumps(photos, indent=1))


main()
