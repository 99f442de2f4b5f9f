#!/usr/bin/env python3
"""Reads a folder of TensorBoard event files with only the official `tensorboard` package.

  tensorboard_check.py raw  LOGDIR                  strict: framing and both checksums of every record, first event, clock
  tensorboard_check.py dump LOGDIR [--output FILE]  the output of the official readers, as JSON
  tensorboard_check.py http LOGDIR [--port PORT]    starts the real server, once with its Python loader and once with its
                                                    Rust data server, and reads the data of every dashboard

Exit code 0: readable and valid. 1: otherwise, with every problem on stderr.

`raw` is also needed, because tensorboard's loader ignores a record with a bad checksum. It takes the record for the end
of a file that is still being written.
"""

import argparse
import glob
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import wave

from PIL import Image
from google.protobuf import json_format
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
from tensorboard.compat import tf
from tensorboard.compat.proto import event_pb2, graph_pb2, summary_pb2
from tensorboard.plugins import base_plugin
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups, plugin_data_pb2
from tensorboard.plugins.mesh import plugin_data_pb2 as mesh_pb2
from tensorboard.plugins.pr_curve import plugin_data_pb2 as pr_curve_pb2
from tensorboard.util import tensor_util

PROBLEMS = []
DATA_KINDS = ["scalars", "images", "audio", "histograms", "text", "hparams", "pr_curves", "mesh", "custom_scalars", "graphs"]
STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
SERVER_START_SECONDS = 60


def problem(message):
    PROBLEMS.append(message)
    print("PROBLEM:", message, file=sys.stderr)


def json_number(value):
    value = float(value)
    return value if math.isfinite(value) else repr(value)


# ---------------------------------------------------------------- raw


def event_files(logdir):
    found = glob.glob(os.path.join(logdir, "**", "*tfevents*"), recursive=True)
    return sorted(path for path in found if os.path.isfile(path))


def raw_events(path):
    """Yields every event. Raises DataLossError at a bad checksum or a truncated record."""
    reader = tf.pywrap_tensorflow.PyRecordReader_New(tf.compat.as_bytes(path), 0, b"", None)
    while True:
        try:
            reader.GetNext()
        except tf.errors.OutOfRangeError:
            return
        yield event_pb2.Event.FromString(reader.record())


def check_file(path, name):
    count, last_time, kinds, tags = 0, 0.0, {}, {}
    try:
        for count, event in enumerate(raw_events(path), 1):
            what = event.WhichOneof("what")
            kinds[what or "none"] = kinds.get(what or "none", 0) + 1
            if count == 1 and (what != "file_version" or event.file_version != "brain.Event:2"):
                problem(f"{name}: the first event is {what}, not the file version brain.Event:2")
            if event.wall_time <= 0 or event.wall_time < last_time:
                problem(f"{name}: event {count} has the time {event.wall_time} after {last_time}")
            last_time = max(last_time, event.wall_time)
            for value in event.summary.value:
                check_value(name, value, tags)
    except tf.errors.DataLossError as error:
        problem(f"{name}: after {count} good records: {error}")
    if ".tfevents." not in os.path.basename(path):
        problem(f"{name}: tensorboard finds a file by `.tfevents.` in its name")
    return {"file": name, "bytes": os.path.getsize(path), "events": count, "kinds": kinds, "tags": tags}


def check_value(name, value, tags):
    kind = value.WhichOneof("value")
    plugin = value.metadata.plugin_data.plugin_name
    if kind == "tensor" and value.tag not in tags and not plugin:
        problem(f"{name}: the first tensor of {value.tag!r} names no plugin, so no dashboard shows it")
    entry = tags.setdefault(value.tag, {"kind": kind, "plugin": plugin, "count": 0})
    entry["count"] += 1


def raw(logdir):
    files = [check_file(path, os.path.relpath(path, logdir)) for path in event_files(logdir)]
    if not files:
        problem(f"no event files in {logdir}")
    return files


# ---------------------------------------------------------------- dump


def image_info(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    pixels = image.convert("RGB")
    corner = (image.size[0] - 1, image.size[1] - 1)
    return {
        "format": image.format,
        "size": list(image.size),
        "first_pixel": pixels.getpixel((0, 0)),
        "last_pixel": pixels.getpixel(corner),
        "sha1": hashlib.sha1(data).hexdigest(),
    }


def wav_info(data):
    sound = wave.open(io.BytesIO(data))
    return {"rate": sound.getframerate(), "channels": sound.getnchannels(), "frames": sound.getnframes()}


def decode(plugin, content, proto):
    """The value of one event in plain Python, from the decoder of the plugin."""
    if proto is None:
        return None
    array = tensor_util.make_ndarray(proto)
    flat = array.reshape(-1)
    if plugin == "scalars":
        return json_number(array.item())
    if plugin == "text":
        return {"shape": list(array.shape), "text": [text.decode() for text in flat]}
    if plugin == "images":
        return {"width": int(flat[0]), "height": int(flat[1]), "images": [image_info(data) for data in flat[2:]]}
    if plugin == "audio":
        return [wav_info(data) for data in flat if data[:4] == b"RIFF"]
    if plugin == "histograms":
        return [[json_number(cell) for cell in row] for row in array]
    if plugin == "custom_scalars":
        return json_format.MessageToDict(layout_pb2.Layout.FromString(array.item()))
    if plugin == "pr_curves":
        thresholds = pr_curve_pb2.PrCurvePluginData.FromString(content).num_thresholds
        return {"thresholds": thresholds, "rows": [[json_number(cell) for cell in row] for row in array]}
    if plugin == "mesh":
        mesh = mesh_pb2.MeshPluginData.FromString(content)
        return {"name": mesh.name, "components": mesh.components, "shape": list(array.shape)}
    if plugin == "graphs":
        return {"nodes": [node.name for node in graph_pb2.GraphDef.FromString(flat[0]).node]}
    return {"shape": list(array.shape), "dtype": str(array.dtype)}


def dump_tag(run, tag, metadata, accumulator):
    plugin, content = metadata.plugin_data.plugin_name, metadata.plugin_data.content
    entry = {"plugin": plugin, "data_class": summary_pb2.DataClass.Name(metadata.data_class)}
    try:
        if plugin == "hparams":
            entry["content"] = json_format.MessageToDict(plugin_data_pb2.HParamsPluginData.FromString(content))
        entry["events"] = [
            {"step": event.step, "wall_time": event.wall_time, "value": decode(plugin, content, event.tensor_proto)}
            for event in accumulator.Tensors(tag)
        ]
    except Exception as error:  # this program checks for every error of the official decoder
        problem(f"run {run!r}, tag {tag!r}, plugin {plugin!r}: {type(error).__name__}: {error}")
    return entry


def classic(path):
    """Reads with the API that most scripts use."""
    kinds = ("scalars", "images", "audio", "histograms", "compressedHistograms", "tensors")
    accumulator = event_accumulator.EventAccumulator(path, size_guidance=dict.fromkeys(kinds, 0))
    accumulator.Reload()
    tags = accumulator.Tags()
    return {
        "scalars": {tag: [[e.step, e.wall_time, json_number(e.value)] for e in accumulator.Scalars(tag)] for tag in tags["scalars"]},
        "histograms": {tag: [[e.step, vars(e.histogram_value)] for e in accumulator.Histograms(tag)] for tag in tags["histograms"]},
        "images": {tag: [[e.step, e.width, e.height] for e in accumulator.Images(tag)] for tag in tags["images"]},
    }


def hparams(multiplexer, logdir):
    """Reads the hparams dashboard through its handlers."""
    provider = data_provider.MultiplexerDataProvider(multiplexer, logdir)
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=logdir))
    request = context.RequestContext()
    experiment = get_experiment.Handler(request, backend, "", api_pb2.GetExperimentRequest()).run()
    columns = [api_pb2.ColParams(hparam=info.name, include_in_result=True) for info in experiment.hparam_infos]
    columns += [api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
    groups = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=1000, col_params=columns, allowed_statuses=[getattr(api_pb2, status) for status in STATUSES]
    )
    groups = list_session_groups.Handler(request, backend, "", groups).run()
    return {"experiment": json_format.MessageToDict(experiment), "session_groups": json_format.MessageToDict(groups)}


def dump(logdir):
    result = {"raw": raw(logdir), "runs": {}, "classic": {}}
    multiplexer = plugin_event_multiplexer.EventMultiplexer(size_guidance={}, tensor_size_guidance=dict.fromkeys(DATA_KINDS, 0))
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    for run in sorted(multiplexer.Runs()):
        accumulator = multiplexer.GetAccumulator(run)
        metadata = accumulator.AllSummaryMetadata()
        result["runs"][run] = {tag: dump_tag(run, tag, metadata[tag], accumulator) for tag in metadata}
        result["classic"][run] = classic(logdir if run == "." else os.path.join(logdir, run))
    result["hparams"] = hparams(multiplexer, logdir)
    return result


# ---------------------------------------------------------------- http


class Server:
    """A real `tensorboard` server on the loopback interface."""

    def __init__(self, logdir, port, load_fast):
        samples = ",".join(f"{kind}=1000000" for kind in ("scalars", "images", "text", "audio", "histograms"))
        options = ["--logdir", logdir, "--host", "127.0.0.1", "--port", str(port), "--load_fast", load_fast]
        options += ["--reload_interval", "1", "--samples_per_plugin", samples]
        self.base, self.name = f"http://127.0.0.1:{port}", f"server with load_fast={load_fast}"
        command = [sys.executable, "-m", "tensorboard.main", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def get(self, path, body=None, **query):
        url = self.base + "/data/" + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"} if data else {})
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
            return json.loads(answer) if "json" in response.headers.get("content-type", "") else answer

    def wait_for_scalars(self, expected):
        """Waits until the server has read every scalar. Its earlier answers are incomplete."""
        deadline, seen = time.monotonic() + SERVER_START_SECONDS, {}
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                seen = self.scalars()
                if {run: {tag: len(points) for tag, points in tags.items()} for run, tags in seen.items() if tags} == expected:
                    return seen
            except OSError:
                pass  # not listening yet
            time.sleep(0.3)
        found = {run: {tag: len(points) for tag, points in tags.items()} for run, tags in seen.items()}
        problem(f"{self.name}: after {SERVER_START_SECONDS} s it shows {found}, the files hold {expected}")
        return seen

    def scalars(self):
        tags = self.get("plugin/scalars/tags")
        return {run: {tag: self.get("plugin/scalars/scalars", run=run, tag=tag) for tag in names} for run, names in tags.items()}

    def plugin(self, name, **query):
        tags = self.get(f"plugin/{name}/tags")
        return {run: {tag: self.get(f"plugin/{name}/{name}", run=run, tag=tag, **query) for tag in names} for run, names in tags.items()}

    def images(self):
        images = self.plugin("images", sample=0)
        for entry in (entry for tags in images.values() for entries in tags.values() for entry in entries):
            entry["decoded"] = image_info(self.get("plugin/images/individualImage?" + entry["query"]))
        return images

    def hparams(self):
        experiment = self.get("plugin/hparams/experiment", body={"experimentName": ""})
        columns = [{"hparam": info["name"], "includeInResult": True} for info in experiment.get("hparamInfos", [])]
        columns += [{"metric": info["name"]} for info in experiment.get("metricInfos", [])]
        body = {"experimentName": "", "allowedStatuses": STATUSES, "colParams": columns, "startIndex": 0, "sliceSize": 1000}
        return {"experiment": experiment, "session_groups": self.get("plugin/hparams/session_groups", body=body)}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            _, log = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, log = self.process.communicate()
        for line in log.decode(errors="replace").splitlines():
            if "Traceback" in line or "Error" in line:
                problem(f"{self.name}: {line}")


def http(logdir, port):
    multiplexer = plugin_event_multiplexer.EventMultiplexer(size_guidance={}, tensor_size_guidance={"scalars": 0})
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    expected = {}
    for run in multiplexer.Runs():
        accumulator = multiplexer.GetAccumulator(run)
        for tag, metadata in accumulator.AllSummaryMetadata().items():
            if metadata.plugin_data.plugin_name == "scalars":
                expected.setdefault(run, {})[tag] = len(accumulator.Tensors(tag))
    if not expected:
        problem(f"no scalars in {logdir}")
    result = {}
    for load_fast in ("false", "true"):
        server = Server(logdir, port, load_fast)
        try:
            answers = result["load_fast=" + load_fast] = {"scalars": server.wait_for_scalars(expected)}
            answers["enabled"] = sorted(name for name, about in server.get("plugins_listing").items() if about.get("enabled"))
            answers["images"] = server.images()
            answers["histograms"] = server.plugin("histograms")
            answers["text"] = server.plugin("text")
            answers["audio"] = server.plugin("audio", sample=0)
            answers["hparams"] = server.hparams()
            for name in ("pr_curves/tags", "mesh/tags", "custom_scalars/layout", "graphs/info"):
                answers[name] = server.get("plugin/" + name)
        except OSError as error:
            problem(f"{server.name}: {error}")
        finally:
            server.stop()
    return result


# ---------------------------------------------------------------- the program


def summary(mode, result):
    if mode == "raw":
        return f"{len(result)} files, {sum(file['events'] for file in result)} events, every checksum right"
    if mode == "dump":
        return f"{sum(map(len, result['runs'].values()))} tags in {len(result['runs'])} runs"
    return "; ".join(f"{name}: {', '.join(answers.get('enabled', []))}" for name, answers in result.items())


def main():
    parser = argparse.ArgumentParser(description="Reads TensorBoard event files with the official tensorboard package.")
    parser.add_argument("mode", choices=["raw", "dump", "http"])
    parser.add_argument("logdir")
    parser.add_argument("--output", help="write all that was read here, as JSON")
    parser.add_argument("--port", type=int, default=16006)
    options = parser.parse_args()
    logdir = options.logdir.rstrip("/")
    result = http(logdir, options.port) if options.mode == "http" else globals()[options.mode](logdir)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1, default=lambda data: data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data))
    if not PROBLEMS:
        print(f"{options.mode}: {summary(options.mode, result)}")
    return 1 if PROBLEMS else 0


if __name__ == "__main__":
    sys.exit(main())
