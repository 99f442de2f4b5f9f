#!/usr/bin/env python3
"""Compares TensorBoard's view of the sample program with the logged values.

  tensorboard_sample_check.py LOGDIR EXPECTED.json [--port PORT]

The files are read with the official `tensorboard` package, then through the real server, once with its Python loader and
once with its Rust data server. Histograms, precision-recall curves and grids of images are computed a second time, from
the raw numbers, by tensorboardX and numpy.

Exit code 0: all equal. 1: otherwise, with every difference on stderr.
"""

import argparse
import io
import json
import os
import sys
import wave

import numpy as np
from PIL import Image
from google.protobuf import json_format
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.mesh import plugin_data_pb2 as mesh_pb2
from tensorboard.plugins.projector import projector_config_pb2
from tensorboard.util import tensor_util
from tensorboardX import summary as reference
from tensorboardX import utils as reference_utils

import tensorboard_check as official

RUN = "run"
KINDS = ("scalars", "images", "audio", "histograms", "compressedHistograms", "tensors")


def equal(what, found, expected):
    same = np.array_equal(found, expected) if isinstance(expected, np.ndarray) else found == expected
    if not same:
        official.problem(f"{what}: found {str(found)[:300]}, expected {str(expected)[:300]}")


def close(what, found, expected):
    if not np.isclose(found, expected, rtol=1e-12, atol=0):
        official.problem(f"{what}: found {found!r}, expected {expected!r}")


# ---------------------------------------------------------------- the expected values, from other software


def default_bins():
    """The bins of `SummaryWriter`, computed in the same way."""
    value, buckets, negative = 1e-12, [], []
    while value < 1e20:
        buckets.append(value)
        negative.append(-value)
        value *= 1.1
    return negative[::-1] + [0] + buckets


def pixels(image):
    return np.array(image["pixels"], np.uint8).reshape(image["height"], image["width"], image["channels"])


def planes(tiles):
    return np.stack([pixels(tile).transpose(2, 0, 1) for tile in tiles])


def make_grid(batch, columns, padding, pad_value):
    """`torchvision.utils.make_grid` for a batch [N, C, H, W], line by line, in numpy."""
    if batch.shape[1] == 1:
        batch = np.concatenate([batch, batch, batch], 1)
    if len(batch) == 1:
        return batch[0]
    across = min(columns, len(batch))
    down = -(-len(batch) // across)
    height, width = batch.shape[2] + padding, batch.shape[3] + padding
    grid = np.full((batch.shape[1], height * down + padding, width * across + padding), pad_value, np.uint8)
    for index, tile in enumerate(batch):
        y, x = divmod(index, across)
        grid[:, y * height + padding : (y + 1) * height, x * width + padding : (x + 1) * width] = tile
    return grid


def grid_of(grid):
    batch = planes(grid["tiles"])
    own = make_grid(batch, grid["columns"], grid["padding"], grid["pad_value"])
    if grid["padding"] == 0:
        equal("the two makers of grids", reference_utils.make_grid(batch, ncols=grid["columns"]), own)
    return own.transpose(1, 2, 0)


def decode(data):
    image = np.array(Image.open(io.BytesIO(data)))
    return image if image.ndim == 3 else image[:, :, None]


def pcm(sound):
    samples = np.clip(np.array(sound["samples"], np.float32), -1, 1) * np.float32(32767)
    return samples.astype("<i2").tobytes()


# ---------------------------------------------------------------- the files


class Files:
    """Reads one run with the reader that most programs use."""

    def __init__(self, path):
        self.events = event_accumulator.EventAccumulator(path, size_guidance=dict.fromkeys(KINDS, 0))
        self.events.Reload()

    def scalars(self, tag):
        return [[event.step, event.value] for event in self.events.Scalars(tag)]

    def tensors(self, tag):
        return [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in self.events.Tensors(tag)]

    def content(self, tag):
        return self.events.SummaryMetadata(tag).plugin_data.content


def single(points):
    """An `f32` as in JSON: the shortest decimal number."""
    return [[step, float(np.float32(value))] for step, value in points]


def check_scalars(logdir, expected):
    main = Files(os.path.join(logdir, RUN))
    for tag, points in expected["scalars"].items():
        equal(f"scalar {tag}", main.scalars(tag), single(points))
    for tag, value in expected["special"].items():
        equal(f"scalar {tag}", [repr(number) for _, number in main.scalars(tag)], [{"NaN": "nan", "Infinity": "inf"}[value]])
    for group, lines in expected["groups"].items():
        for name, points in lines.items():
            equal(f"group {group}, {name}", Files(os.path.join(logdir, RUN, f"{group}_{name}")).scalars(group), single(points))
    runs = sorted(os.path.relpath(os.path.dirname(path), logdir) for path in official.event_files(logdir))
    lines = [f"{RUN}/{group}_{name}" for group, names in expected["groups"].items() for name in names]
    equal("runs", sorted(set(runs)), sorted([RUN, *lines]))
    return main


def check_histograms(main, expected):
    for tag, histograms in expected["histograms"].items():
        found = main.events.Histograms(tag)
        equal(f"{tag}: steps", [event.step for event in found], [entry["step"] for entry in histograms])
        for event, entry in zip(found, histograms):
            value, samples = event.histogram_value, np.array(entry["samples"])
            if entry["edges"] is None:
                other = reference.make_histogram(samples, default_bins())
                equal(f"{tag}: limits", list(value.bucket_limit), list(other.bucket_limit))
                equal(f"{tag}: counts", list(value.bucket), list(other.bucket))
                equal(f"{tag}: number", value.num, other.num)
            else:
                counts, edges = np.histogram(samples, entry["edges"])
                equal(f"{tag}: limits", list(value.bucket_limit), list(edges))
                equal(f"{tag}: counts", list(value.bucket), [0, *counts])
                samples = samples[(samples >= edges[0]) & (samples <= edges[-1])]
            equal(f"{tag}: range", (value.min, value.max), (samples.min(), samples.max()))
            close(f"{tag}: sum", value.sum, samples.sum())
            close(f"{tag}: sum of squares", value.sum_squares, samples.dot(samples))


def check_media(main, expected):
    """Returns the files within the event files by tag: PNG and WAV."""
    files = {}
    images = {tag: pixels(image) for tag, image in expected["images"].items()}
    images |= {tag: grid_of(grid) for tag, grid in expected["grids"].items()}
    for tag, array in images.items():
        (event,) = main.events.Images(tag)
        equal(f"{tag}: size", (event.height, event.width), array.shape[:2])
        equal(f"{tag}: pixels", decode(event.encoded_image_string), array)
        files[tag] = event.encoded_image_string
    for tag, size in expected["figures"].items():
        (event,) = main.events.Images(tag)
        image = Image.open(io.BytesIO(event.encoded_image_string))
        equal(f"{tag}: size", (event.width, event.height, *image.size), (size["width"], size["height"]) * 2)
        colors = len(image.convert("RGB").getcolors(1 << 24))
        equal(f"{tag}: more than an empty page ({colors} colors)", colors > 8, True)
        files[tag] = event.encoded_image_string
    for tag, sound in expected["audio"].items():
        (event,) = main.events.Audio(tag)
        wav = wave.open(io.BytesIO(event.encoded_audio_string))
        about = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
        equal(f"{tag}: format", about, (sound["rate"], sound["channels"], 2))
        equal(f"{tag}: about", (event.sample_rate, event.length_frames), (sound["rate"], wav.getnframes()))
        equal(f"{tag}: samples", wav.readframes(wav.getnframes()), pcm(sound))
        files[tag] = event.encoded_audio_string
    for tag, texts in expected["texts"].items():
        equal(tag, [[step, text.item().decode()] for step, text in main.tensors(tag)], texts)
    equal("texts", [tag for tag in main.events.PluginTagToContent("text")], list(expected["texts"]))
    return files


def check_plugins(main, expected):
    for tag, curves in expected["pr_curves"].items():
        found = main.tensors(tag)
        equal(f"{tag}: steps", [step for step, _ in found], [curve["step"] for curve in curves])
        for (_, rows), curve in zip(found, curves):
            labels, predictions = np.array(curve["labels"]), np.array(curve["predictions"], np.float32)
            other = reference.pr_curve(tag, labels, predictions, curve["thresholds"]).value[0]
            equal(tag, rows, np.array(other.tensor.float_val, np.float32).reshape(rows.shape))
            equal(f"{tag}: plugin data", main.content(tag), other.metadata.plugin_data.content)
    for tag, parts in expected["meshes"].items():
        mask = sum(1 << mesh_pb2.MeshPluginData.ContentType.Value(part) for part in parts)
        for part, numbers in parts.items():
            ((_, array),) = main.tensors(f"{tag}_{part}")
            equal(f"{tag}: {part}", array, np.array([numbers], np.float32))
            about = mesh_pb2.MeshPluginData.FromString(main.content(f"{tag}_{part}"))
            equal(f"{tag}: about {part}", (about.name, about.components, list(about.shape)), (tag, mask, list(array.shape)))
    ((_, layout),) = main.tensors("custom_scalars__config__")
    equal("layout", json_format.MessageToDict(layout_pb2.Layout.FromString(layout.item()))["category"], expected["layout"])
    attributes = lambda node: {key: value.s.decode() for key, value in node.attr.items()}
    nodes = [{"name": n.name, "op": n.op, "inputs": list(n.input), "attributes": attributes(n)} for n in main.events.Graph().node]
    equal("graph", nodes, expected["graph"])
    content = lambda tag: json_format.MessageToDict(plugin_data_pb2.HParamsPluginData.FromString(main.content(f"_hparams_/{tag}")))
    infos = content("experiment")["experiment"]["hparamInfos"]
    equal("types of hyperparameters", {info["name"]: info["type"] for info in infos}, expected["hparams"]["types"])
    equal("hyperparameters", content("session_start_info")["sessionStartInfo"]["hparams"], expected["hparams"]["values"])
    equal("status", content("session_end_info")["sessionEndInfo"]["status"], "STATUS_SUCCESS")


# ---------------------------------------------------------------- the server


def check_projector(server, expected):
    equal("projector: runs", server.get("plugin/projector/runs"), [RUN])
    info = server.get("plugin/projector/info", run=RUN)
    equal("projector: tensors", sorted(entry["tensorName"] for entry in info["embeddings"]), sorted(expected))
    config = json_format.ParseDict(info, projector_config_pb2.ProjectorConfig(), ignore_unknown_fields=True)
    for entry in config.embeddings:
        about, query = expected[entry.tensor_name], {"run": RUN, "name": entry.tensor_name}
        rows = np.array(about["rows"], np.float32)
        equal("projector: shape", tuple(entry.tensor_shape), rows.shape)
        equal("projector: values", np.frombuffer(server.get("plugin/projector/tensor", **query), np.float32).reshape(rows.shape), rows)
        lines = ["\t".join(line) for line in [about["columns"], *about["metadata"]]]
        equal("projector: metadata", server.get("plugin/projector/metadata", **query).decode().splitlines(), lines)
        side = int(np.ceil(np.sqrt(len(rows))))
        tiles = planes(about["tiles"])
        tiles = np.concatenate([tiles, np.zeros((side**2 - len(tiles), *tiles.shape[1:]), np.uint8)])
        sheet = make_grid(tiles, side, 0, 0).transpose(1, 2, 0)
        equal("projector: pictures", decode(server.get("plugin/projector/sprite_image", **query)), sheet)
        tile = about["tiles"][0]
        equal("projector: size of a picture", list(entry.sprite.single_image_dim), [tile["width"], tile["height"]])


def check_server(server, files, expected):
    counts = {RUN: {tag: len(points) for tag, points in expected["scalars"].items()}}
    counts[RUN] |= dict.fromkeys(expected["special"], 1) | dict.fromkeys(expected["hparams"]["metrics"], 2)
    for group, lines in expected["groups"].items():
        counts |= {f"{RUN}/{group}_{name}": {group: len(points)} for name, points in lines.items()}
    found = server.wait_for_scalars(counts)
    for tag, points in expected["scalars"].items():
        equal(f"{server.name}: {tag}", [point[1:] for point in found[RUN][tag]], single(points))
    for kind, blob in (("images", "individualImage"), ("audio", "individualAudio")):
        for tag, (entry,) in server.plugin(kind, sample=0)[RUN].items():
            equal(f"{server.name}: {tag}", server.get(f"plugin/{kind}/{blob}?" + entry["query"]), files.pop(tag))
    equal(f"{server.name}: images and sounds that it does not show", list(files), [])
    for tag, events in server.plugin("histograms")[RUN].items():
        totals = [round(sum(bucket[2] for bucket in buckets)) for _, _, buckets in events]
        equal(f"{server.name}: {tag}", len(events), len(expected["histograms"][tag]))
        equal(f"{server.name}: {tag} counts", all(totals), True)
    texts = server.plugin("text")[RUN]
    equal(f"{server.name}: texts", {tag: len(entries) for tag, entries in texts.items()}, {t: len(v) for t, v in expected["texts"].items()})
    shown = "".join(entry["text"] for entries in texts.values() for entry in entries)
    for piece in ("<strong>bold</strong>", "<code>code</code>", "<th>label</th>", "<td>seven|7</td>", "second ä−λ"):
        equal(f"{server.name}: text with {piece}", piece in shown, True)
    for tag, curves in expected["pr_curves"].items():
        (entries,) = server.get("plugin/pr_curves/pr_curves", run=RUN, tag=tag).values()
        for entry, curve in zip(entries, curves, strict=True):
            labels, predictions = np.array(curve["labels"]), np.array(curve["predictions"], np.float32)
            rows = reference.compute_curve(labels, predictions, curve["thresholds"]).astype(np.float32)
            names = ["true_positives", "false_positives", "true_negatives", "false_negatives", "precision", "recall"]
            for name, row in zip(names, rows):
                # The dashboard omits the last thresholds if no value reaches them.
                equal(f"{server.name}: {tag} {name}", np.array(entry[name], np.float32), row[: len(entry[name])])
    check_meshes(server, expected["meshes"])
    layout = server.get("plugin/custom_scalars/layout")
    equal(f"{server.name}: layout", [category["title"] for category in layout["category"]], [c["title"] for c in expected["layout"]])
    scalars = server.get("plugin/custom_scalars/scalars", run=RUN, tag="loss")
    equal(f"{server.name}: custom scalars", len(scalars["tag_to_events"]["loss"]), len(expected["scalars"]["loss"]))
    graph = server.get("plugin/graphs/graph", run=RUN, conceptual="false").decode()
    for node in expected["graph"]:
        equal(f"{server.name}: graph with {node['name']}", f'name: "{node["name"]}"' in graph, True)
    (session,) = server.hparams()["session_groups"]["sessionGroups"]
    equal(f"{server.name}: hyperparameters", session["hparams"], expected["hparams"]["values"])
    equal(f"{server.name}: metrics", {m["name"]["tag"]: m["value"] for m in session["metricValues"]}, expected["hparams"]["metrics"])
    check_projector(server, expected["embeddings"])


def check_meshes(server, expected):
    equal(f"{server.name}: meshes", sorted(server.get("plugin/mesh/tags")[RUN]), sorted(expected))
    for tag, parts in expected.items():
        entries = server.get("plugin/mesh/meshes", run=RUN, tag=tag, sample=0)
        equal(f"{server.name}: parts of {tag}", len(entries), len(parts))
        for part, numbers in parts.items():
            data = server.get("plugin/mesh/data", run=RUN, tag=tag, sample=0, step=entries[0]["step"], content_type=part)
            dtype = {"VERTEX": np.float32, "COLOR": np.uint8, "FACE": np.int32}[part]
            equal(f"{server.name}: {tag} {part}", np.frombuffer(data, dtype), np.array(numbers, dtype).reshape(-1))


def main():
    parser = argparse.ArgumentParser(description="Compares TensorBoard's view of the sample program with the logged values.")
    parser.add_argument("logdir")
    parser.add_argument("expected")
    parser.add_argument("--port", type=int, default=16006)
    options = parser.parse_args()
    with open(options.expected, encoding="utf-8") as file:
        expected = json.load(file)
    records = sum(file["events"] for file in official.raw(options.logdir))
    run = check_scalars(options.logdir, expected)
    check_histograms(run, expected)
    files = check_media(run, expected)
    check_plugins(run, expected)
    for load_fast in ("false", "true"):
        server = official.Server(options.logdir, options.port, load_fast)
        try:
            check_server(server, dict(files), expected)
        except (OSError, KeyError, ValueError) as error:
            official.problem(f"{server.name}: {type(error).__name__}: {error}")
        finally:
            server.stop()
    if not official.PROBLEMS:
        print(f"sample: {records} records, {len(files)} images and sounds, {len(expected)} kinds of values, in both loaders")
    return 1 if official.PROBLEMS else 0


if __name__ == "__main__":
    sys.exit(main())
