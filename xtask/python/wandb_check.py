#!/usr/bin/env python3
"""Reads the files of `WandbLogger` with W&B's software, and compares its requests with those of W&B's client.

  wandb_check.py SAMPLE FOLDER        SAMPLE: the program of `wandb_sample.rs`, which logs, is killed and resumes

There are three ways. `wandb leet inspect` reads an offline run. `wandb sync` uploads it to a server on the loopback. The
sample sends to that server directly. Each time, rows, settings, media, output and artifacts equal the logged ones.
"""

import base64
import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

from PIL import Image
from wandb_server import Server

KEY = "0123456789" * 4
HERE = Path(__file__).parent
STEP = "trainer/global_step"


def main(sample, folder):
    sample, folder = os.path.abspath(sample), Path(folder).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    offline, online = folder / "offline", folder / "online"
    for place in (offline, online, folder / "home"):
        place.mkdir(parents=True)
    # Ignore the user's settings, and leave no files in the user's folders.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(folder / "home"), "WANDB_DIR": str(folder / "home"), "NETRC": str(folder / "home/none"), "WANDB_ERROR_REPORTING": "false", "NO_PROXY": "127.0.0.1"}

    train(sample, offline, environment | {"WANDB_MODE": "offline"})
    expected = json.loads((offline / "expected.json").read_text())
    run = (offline / "wandb/latest-run").resolve()
    inspected = inspect(run, environment, expected)

    server = Server()
    account = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": KEY}
    command = [wandb(), "sync", "--yes", str(run)]
    # The command writes logs to its folder.
    subprocess.run(command, env=environment | account, cwd=folder / "home", check=True, capture_output=True, timeout=120)
    synced = arrived(server.requests, expected)
    assert plain(synced) == plain(inspected), "`wandb sync` uploads other rows than `wandb leet` reads"
    server.close()

    server = Server()
    account = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}
    train(sample, online, environment | account)
    sent = arrived(server.requests, json.loads((online / "expected.json").read_text()))
    compare(server.requests)
    assert any(b"lost" in request.body for request in server.requests), "the killed run had sent none of the values that it lost"
    server.close()
    left = [path for path in online.rglob("*") if path.is_file() and KEY in path.read_text(errors="replace")]
    assert not left, f"the key is in {left}"
    assert [known(row) for row in sent] == [known(row) for row in inspected], "we send other rows than we write"
    print(f"wandb: {len(inspected)} rows read by `leet`, uploaded by `sync` and sent by us, all equal")


def wandb():
    return str(Path(sys.executable).with_name("wandb"))


def train(sample, folder, environment):
    killed = subprocess.run([sample, str(folder), "begin"], env=environment, stderr=subprocess.DEVNULL, check=False, timeout=120)
    assert killed.returncode not in (0, 1), f"the sample should kill itself, but ended with {killed.returncode}"
    subprocess.run([sample, str(folder), "continue"], env=environment, check=True, timeout=120)


def inspect(run, environment, expected):
    """Reads an offline run with W&B's reader."""
    output = lambda *args: subprocess.run([wandb(), "leet", "inspect", *args, str(run)], env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
    records = [json.loads(line) for line in output("--json").splitlines()]
    assert [record["num"] for record in records] == list(range(1, len(records) + 1))
    of = lambda kind: [record[kind] for record in records if record["type"] == kind]
    rows = [row["item"] for row in of("history")]
    check_rows(rows, expected)
    assert [row["step"]["num"] for row in of("history")] == list(range(len(rows)))
    (start,) = of("run")
    assert (start["run_id"], start["display_name"], start["project"]) == ("sample01", "sample run", "a project"), start
    assert (start["run_group"], start["job_type"], start["tags"]) == ("group", "train", ["a", "b"]), start
    assert [metric.get("glob_name") or metric["name"] for metric in of("metric")] == [STEP, "*"]
    lines = [(line["output_type"], line["line"]) for line in of("output_raw")]
    assert lines == [("STDOUT", "a line\n"), ("STDOUT", "another line\n"), ("STDERR", "something went wrong\n")], lines
    assert [stats["item"] for stats in of("stats")] == [{"cpu": 12.5, "memory_percent": 50}]
    named = {file["path"] for record in of("files") for file in record["files"]}
    for path in named:
        assert (run / "files" / path).is_file(), path
    check_media(rows, expected, lambda path: (run / "files" / path).read_bytes() if path in named else None)
    for artifact in of("artifact"):
        check_digest(artifact["digest"], {content["path"]: content["digest"] for content in artifact["manifest"]["contents"]})
        for content in artifact["manifest"]["contents"]:
            assert content["digest"] == md5(Path(content["local_path"]).read_bytes()), content
    assert [(artifact["name"], artifact["type"], artifact["aliases"]) for artifact in of("artifact")] == [
        ("run-sample01-table", "run_table", ["latest"]),
        ("model-sample01", "model", ["latest", "best"]),
    ]
    summary = json.loads(output("--summary", "--json"))
    assert (summary["state"], summary["exit_code"], summary["config"]) == ("finished", 0, expected["config"]), summary
    check_summary(summary["summary"], rows, expected)
    return rows


def arrived(requests, expected):
    """Checks the final content of the server."""
    files, uploads, exits = {}, {}, []
    for request in requests:
        if request.path.endswith("file_stream"):
            assert request.path == "/files/me/a project/sample01/file_stream", request.path
            body = request.json()
            for name, chunk in (body.get("files") or {}).items():
                lines = files.setdefault(name, {})
                offset = chunk["offset"]
                assert offset <= len(lines), f"{name}: a gap before line {offset}"
                lines |= dict(enumerate(chunk["content"], offset))
            if body.get("complete"):
                exits.append(body["exitcode"])
        elif request.method == "PUT":
            uploads[request.path.removeprefix("/upload/")] = request.body
    lines = lambda name: [files[name][line] for line in sorted(files[name])]
    rows = [json.loads(line) for line in lines("wandb-history.jsonl")]
    check_rows(rows, expected)
    assert exits == [0], exits
    (event,) = [json.loads(line) for line in lines("wandb-events.jsonl")]
    assert (event["system.cpu"], event["system.memory_percent"]) == (12.5, 50), event
    output = [("ERROR " * line.startswith("ERROR "), line.removeprefix("ERROR ").split(" ", 1)[1]) for line in lines("output.log")]
    assert output == [("", "a line"), ("", "another line"), ("ERROR ", "something went wrong")], output
    check_media(rows, expected, uploads.get)
    assert uploads["saved/model.ckpt"] == uploads["artifact/model.ckpt"] == bytes([7]) * 100_000
    assert "config.yaml" in uploads
    summary = json.loads(uploads["wandb-summary.json"])
    check_summary(summary, rows, expected)
    configs = [json.loads(request.json()["variables"]["config"]) for request in requests if request.operation == "UpsertBucket"]
    assert {key: value["value"] for key, value in configs[-1].items() if key != "_wandb"} == expected["config"], configs[-1]
    created = [request.json()["variables"]["input"] for request in requests if request.operation == "CreateArtifact"]
    named = {artifact["artifactCollectionName"]: artifact for artifact in created}
    assert sorted(named) == ["model-sample01", "run-sample01-table"], sorted(named)
    model = named["model-sample01"]
    assert (model["artifactTypeName"], json.loads(model["metadata"])) == ("model", {"score": 0.5}), model
    assert [alias["alias"] for alias in model["aliases"]] == ["latest", "best"], model
    check_digest(model["digest"], {"model.ckpt": md5(uploads["artifact/model.ckpt"])})
    return rows


def number(value):
    """A number. `leet` shows numbers without a JSON form as strings."""
    return float(value) if isinstance(value, str) else value


def plain(rows):
    return [{key: value if isinstance(value, dict) else repr(float(value)) for key, value in row.items()} for row in rows]


def known(row):
    """A row without its times and the random ids of its artifacts."""
    return {key: value for key, value in row.items() if key in ("_step", STEP, "loss", "accuracy", "epoch")}


def check_rows(rows, expected):
    """Row 0 has only the graph, row 1 all other media, and each step has one row with all its values."""
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert set(rows[0]) == {"graph", "_step", "_timestamp", "_runtime"}, rows[0]
    assert len(rows) == len(expected["rows"]) + 1, f"{len(rows)} rows"
    for found, wanted in zip(rows[1:], expected["rows"]):
        for key, value in wanted.items():
            value, shown = number(value), number(found[key])
            assert shown == value or (math.isnan(value) and math.isnan(shown)), f"{key} at step {wanted[STEP]}: {shown}, not {value}"
        more = set(found) - set(wanted) - {"_step", "_timestamp", "_runtime"}
        assert more == (set(expected["media"]) if found["_step"] == 1 else set()), more
    times = [row["_timestamp"] for row in rows]
    assert times == sorted(times)


def check_summary(summary, rows, expected):
    assert summary["best accuracy"] == expected["best accuracy"]
    assert summary["_step"] == rows[-1]["_step"]
    for key, value in expected["rows"][-1].items():
        value, shown = number(value), number(summary[key])
        assert shown == value or (math.isnan(value) and math.isnan(shown)), f"{key}: {shown}"
    assert set(expected["media"]) <= set(summary), sorted(summary)


def check_media(rows, expected, content):
    """Checks that other software can read every medium. `content` returns the bytes of a file."""
    media = {name: rows[1][name] for name in expected["media"]} | {"graph": rows[0]["graph"]}
    data = {}
    for name, value in media.items():
        if "path" in value:
            data[name] = content(value["path"])
            assert data[name] is not None, f"{value['path']} is missing"
            assert (value["sha256"], value["size"]) == (hashlib.sha256(data[name]).hexdigest(), len(data[name])), value
    types = {name: value["_type"] for name, value in media.items()}
    assert types == {
        "val/image": "image-file", "text": "html-file", "sound": "audio-file", "drawing": "html-file", "plot": "image-file",
        "table": "table-file", "weights": "histogram", "graph": "graph-file",
    }, types
    for name, size, pixels in (("val/image", (8, 6), bytes(range(8 * 6 * 3))), ("plot", (2, 2), bytes([0, 85, 170, 255]))):
        image = Image.open(io.BytesIO(data[name]))
        assert (image.size, image.tobytes()) == (size, pixels), name
        assert (media[name]["width"], media[name]["height"]) == size, name
    with wave.open(io.BytesIO(data["sound"])) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 400)
    assert json.loads(data["table"]) == {"columns": ["name", "count"], "data": [["seven", 7], ["none", None]]}
    assert (media["table"]["nrows"], media["table"]["ncols"]) == (2, 2)
    assert "**bold** &lt;b&gt;" in data["text"].decode() and data["drawing"].startswith(b"<svg")
    weights = media["weights"]
    assert sum(weights["values"]) == 4 and len(weights["bins"]) == len(weights["values"]) + 1
    graph = json.loads(data["graph"])
    assert ([node["id"] for node in graph["nodes"]], graph["edges"]) == (["hidden", "output"], [["hidden", "output"]])


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def check_digest(digest, files):
    text = "wandb-artifact-manifest-v1\n" + "".join(f"{path}:{md5}\n" for path, md5 in sorted(files.items()))
    assert digest == hashlib.md5(text.encode()).hexdigest(), digest


def compare(ours):
    """Compares our requests with captured requests of W&B's client in a run of Lightning."""
    with open(HERE / "wandb_requests.jsonl", encoding="utf-8") as file:
        theirs = [json.loads(line) for line in file]
    squeezed = lambda text: " ".join(text.split())
    bodies = {request["operation"]: request["body"] for request in reversed(theirs) if request["operation"]}
    used = set()
    for request in ours:
        is_put = request.method == "PUT"
        wanted = "" if is_put else "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        assert request.authorization == wanted, f"{request.path} with `{request.authorization}`"
        if not request.operation:
            continue
        used.add(request.operation)
        body, real = request.json(), bodies[request.operation]
        assert set(body) == set(real), sorted(body)
        assert squeezed(body["query"]) == squeezed(real["query"]), request.operation
        assert shape(body["variables"]) == shape(real["variables"]), f"{request.operation}: {body['variables']}"
    assert used == set(bodies), used ^ set(bodies)

    # An artifact needs the same requests in the same order.
    def artifact(requests):
        chosen = ("CreateArtifact", "CreateArtifactManifest", "CreateArtifactFiles", "CommitArtifact")
        order = [operation or path for operation, path in requests if operation in chosen or path == "/upload/manifest"]
        return order[-order[::-1].index("CreateArtifact") - 1 :]

    real = artifact([(request["operation"], request["path"]) for request in theirs])
    assert artifact([(request.operation, request.path) for request in ours]) == real, real
    assert [request.operation for request in ours[:2]] == [request["operation"] for request in theirs[:2]]

    last, real = ours[-1].json(), theirs[-1]["body"]
    assert set(last) == set(real) and (last["complete"], last["exitcode"]) == (True, 0), last
    streamed = [request.json() for request in ours if request.path.endswith("file_stream")]
    for body in streamed:
        for name, chunk in body.get("files", {}).items():
            assert set(chunk) == {"offset", "content"} and name in real["files"] | {"wandb-events.jsonl": 0}, name
    always = lambda files: set.intersection(*(set(json.loads(line)) for line in files["wandb-history.jsonl"]["content"]))
    assert {"_step", "_timestamp", "_runtime", STEP} <= always(real["files"])
    metrics = lambda request: json.loads(request["variables"]["config"])["_wandb"]["value"]["m"]
    upserts = [request.json() for request in ours if request.operation == "UpsertBucket"]
    assert metrics(upserts[-1]) == metrics([request["body"] for request in theirs if request["operation"] == "UpsertBucket"][-1])
    manifest = lambda body: (sorted(body), body["storagePolicy"], body["storagePolicyConfig"])
    put = [request.json() for request in ours if request.path == "/upload/manifest"]
    assert manifest(put[-1]) == manifest(next(request["body"] for request in theirs if request["path"] == "/upload/manifest"))


def shape(value):
    """The names at every level, without the values. A list is represented by its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [shape(value[0])]
    return None


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssertionError as error:
        sys.exit(f"PROBLEM: {error}")
