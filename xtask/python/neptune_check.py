"""Reads a run of our logger with Neptune's client, and a run of that client with our reader.

usage: neptune_check.py SAMPLE FOLDER
"""

import base64
import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import wave

import neptune
import yaml
from neptune.core.components.operation_storage import OperationStorage
from neptune.core.components.queue.disk_queue import DiskQueue
from neptune.internal.backends.neptune_backend_mock import NeptuneBackendMock
from neptune.internal.container_type import ContainerType
from neptune.internal.operation import LogFloats, LogImages, LogStrings, Operation, UploadFile
from neptune.types import File
from neptune.utils import stringify_unsupported
from PIL import Image


def main():
    sample, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    ask = lambda *words: json.loads(subprocess.run([sample, *words], check=True, stdout=subprocess.PIPE).stdout)
    logged = ask("write", folder / "ours")
    count = client_reads(pathlib.Path(logged["run"]), logged)
    read = ask("read", logged["run"])
    assert [[name.removeprefix("training/"), *point[:2]] for name, points in read["metrics"].items() for point in points] == sorted(
        logged["metrics"], key=lambda metric: (metric[0], metric[2])
    )
    converted(ask, logged, folder / "table")
    we_read(ask, folder / "theirs")
    print(f"Neptune's client reads the {count} operations of our run, we read the run of the client, and it becomes a table")


def client_reads(folder, logged):
    """Reads the queue with the client, and applies its operations to a run in the client's memory."""
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["mode"], metadata["containerType"], metadata["structureVersion"]) == ("offline", "run", 3)
    assert metadata["containerId"] == logged["id"] and folder.name.startswith(f"run__{logged['id']}__")
    queue = DiskQueue(data_path=folder, to_dict=lambda op: op.to_dict(), from_dict=Operation.from_dict, lock=threading.RLock())
    elements = []
    while (element := queue.get()) is not None:
        elements.append(element)
    operations = [element.obj for element in elements]
    assert [element.ver for element in elements] == list(range(1, len(elements) + 1))
    assert queue.size() == len(elements) and not queue.is_empty()
    # The file contains only operations that the client would write.
    lines = [json.loads(line)["obj"] for path in sorted(folder.glob("data-*.log")) for line in path.read_text().splitlines()]
    assert list(map(ordered, lines)) == [ordered(operation.to_dict()) for operation in operations]

    points = [["/".join(op.path), value.value, value.step] for op in operations if isinstance(op, LogFloats) for value in op.values]
    assert points == [[f"training/{name}", value, step] for name, value, step in logged["metrics"]]
    texts = [("/".join(op.path), value.value, value.step) for op in operations if isinstance(op, LogStrings) for value in op.values]
    assert texts == [("training/note", "# Größe\n*3 µm*", 103)], texts
    assert [value.step for op in operations if isinstance(op, LogImages) for value in op.values] == [100, 101]

    backend, storage = NeptuneBackendMock(), OperationStorage(folder)
    run = backend.create_run(project_id="sandbox").id
    done, errors = backend.execute_operations(run, ContainerType.RUN, operations, storage)
    assert (done, errors) == (len(operations), []), errors
    get = lambda kind, path: getattr(backend, f"get_{kind}_attribute")(run, ContainerType.RUN, path.split("/")).value
    kinds = {bool: "bool", int: "int", float: "float", str: "string"}
    params = {name: get(kinds[type(value)], f"training/hyperparams/{name}") for name, value in logged["params"].items()}
    assert params == logged["params"], params
    assert (get("string", "sys/name"), get("string", "training/status"), get("bool", "sys/failed")) == ("everything", "success", False)
    assert get("string", "training/model/best_model_path") == "epoch=4.ckpt" and get("float", "training/model/best_model_score") == 0.25
    tags = backend.get_string_set_attribute(run, ContainerType.RUN, ["sys", "tags"]).values
    assert tags == {"sample", "rust"}

    files = {"/".join(op.path): pathlib.Path(op.get_absolute_path(storage)).read_bytes() for op in operations if isinstance(op, UploadFile)}
    check_files(files)
    pictures = [value.value.data for op in operations if isinstance(op, LogImages) for value in op.values]
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert image.size == (6, 4) and list(image.tobytes()) == logged["pixels"]
    return len(operations)


def ordered(operation):
    """The client keeps tags as a set."""
    return operation | {"values": sorted(operation["values"])} if operation["type"] == "AddStrings" else operation


def check_files(files):
    names = ["artifacts/data/program", "counts/105", "curve/101", "model/checkpoints/epoch=4", "model/summary", "tone/104"]
    assert sorted(files) == [f"training/{name}" for name in names], sorted(files)
    assert files["training/model/checkpoints/epoch=4"] == b"\7" * 300_000
    assert list(csv.reader(io.StringIO(files["training/counts/105"].decode()))) == [["digit", "count"], ['seven, "7"', "12"]]
    with wave.open(io.BytesIO(files["training/tone/104"])) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 2)


def converted(ask, logged, folder):
    """Reads our run, converted to a table."""
    done = ask("convert", logged["run"], folder)
    assert done["metrics"] == len(logged["metrics"])
    rows = list(csv.DictReader(io.StringIO((folder / "lightning_logs/version_0/metrics.csv").read_text())))
    found = [[name, float(row[name]), int(row["step"])] for row in rows for name in ("train_loss", "val/small", "epoch")]
    assert found == logged["metrics"] and len(rows) == 500
    params = yaml.safe_load((folder / "lightning_logs/version_0/hparams.yaml").read_text())
    assert params["lr"] == 0.001 and params["net"] == {"width": 32, "bias": True, "note": "None"} and params["optimizer"] == "adam", params


def we_read(ask, folder):
    """Writes a run with the client, with every kind of value that Lightning's logger and its users log."""
    folder.mkdir()
    os.chdir(folder)
    quiet = {f"capture_{name}": False for name in ("stdout", "stderr", "hardware_metrics", "traceback")}
    run = neptune.init_run(mode="offline", project="w/p", name="theirs", tags=["a", "b"], git_ref=False, source_files=[], **quiet)
    run["training/hyperparams"] = stringify_unsupported({"lr": 0.1, "net": {"width": 3, "bias": True, "list": [1, 2]}, "name": "x"})
    run["parameters"] = {"seed": 7}
    for step in range(300):
        run["training/loss"].append(1 / (step + 1), step=step, timestamp=1.7e9 + step)
        run["noted"].append(step / 2)
    run["training/note"].append("grüße", step=2)
    run["training/digits"].append(Image.new("RGB", (2, 3), (1, 2, 3)), step=4, name="n", description="d")
    pathlib.Path("x.bin").write_bytes(b"bytes")
    run["training/model/checkpoints/last"].upload("x.bin")
    run["memory"].upload(File.from_content(b"abc", extension="txt"))
    run["folder"].upload_files(["x.bin"])
    run["sys/tags"].add("c")
    run["sys/tags"].remove("a")
    run["gone"] = 3
    del run["gone"]
    run["training/status"] = "success"
    run.stop()

    (place,) = pathlib.Path(".neptune/offline").iterdir()
    read = ask("read", place.resolve())
    assert read["metrics"]["training/loss"] == [[1 / (step + 1), step, 1.7e9 + step] for step in range(300)]
    assert [point[:2] for point in read["metrics"]["noted"]] == [[step / 2, None] for step in range(300)]
    params = {"lr": 0.1, "net": {"width": 3, "bias": True, "list": "[1, 2]"}, "name": "x", "seed": 7}
    found = {name: value for name, value in read["hyperparams"].items() if name in params}
    assert found == params, read["hyperparams"]
    assert sorted(read["tags"]) == ["b", "c"] and "gone" not in read["assigned"] and read["assigned"]["sys/name"] == "theirs"
    assert read["texts"] == {"training/note": [["grüße", 2]]}
    ((picture, step),) = read["images"]["training/digits"]
    assert step == 4 and Image.open(io.BytesIO(bytes(picture))).getpixel((1, 2)) == (1, 2, 3)
    files = {name: (bytes(content), extension) for name, (content, extension) in read["files"].items()}
    expected = {"training/model/checkpoints/last": (b"bytes", "bin"), "memory": (b"abc", "txt"), "folder/x.bin": (b"bytes", "bin")}
    assert files == expected and read["not_understood"] == 0, (files.keys(), read["not_understood"])


if __name__ == "__main__":
    main()
