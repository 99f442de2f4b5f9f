"""Runs a sample of our logger for Comet. Checks its archive and its requests with Comet's client.

usage: comet_check.py SAMPLE FOLDER
"""

import csv
import gzip
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.parse
import wave
import zipfile

import comet_ml
import comet_ml.data_structure
import jsonschema
from PIL import Image

API_KEY = "ApiKeyOfTheLoopback123456"
# Requests of Comet's client that are not in the archive.
UPLOAD_ONLY = {"/clientlib/isAlive/ver", "/clientlib/status-report/offline-metadata"}


class Server(http.server.ThreadingHTTPServer):
    """Answers like Comet's server and records every request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
        address = f"http://127.0.0.1:{self.server_port}/clientlib/"
        return variables | {"COMET_URL_OVERRIDE": address, "COMET_API_KEY": API_KEY, "NO_PROXY": "127.0.0.1"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        path, _, query = self.path.partition("?")
        self.server.requests.append((self.command, path, dict(urllib.parse.parse_qsl(query)), {name.lower(): value for name, value in self.headers.items()}, body))
        answer = {"msg": "ok", "code": 200, "version": "4.9.999"}
        if path.endswith("logger/add/run"):
            answer |= {"runId": "run1", "project_id": "p1", "fullMetrics": True, "focusLink": "http://127.0.0.1/", "url": "http://127.0.0.1/"}
            answer |= {"upload_limit": 100.0, "video_upload_limit": 100.0, "asset_upload_limit": 100.0, "featureToggles": []}
        elif path.endswith("status-report/update"):
            answer |= {"is_alive_beat_duration_millis": 10000, "gpu_monitor_interval_millis": 60000, "parameter_update_interval_millis": 10000}
        elif path.endswith("upload"):
            answer |= {"assetId": "a1"}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer


def main():
    sample, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    offline = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
    subprocess.run([sample, folder / "offline"], check=True, env=offline)
    logged = json.loads((folder / "offline/logged.json").read_text())
    archive = pathlib.Path(logged["archive"])
    assert archive.name == logged["key"] + ".zip" and not archive.with_suffix("").exists()
    check_archive(archive, logged)
    check_csv(archive, folder / "offline.csv", logged)

    theirs = Server()
    comet = pathlib.Path(sys.executable).with_name("comet")
    subprocess.run([comet, "upload", archive], check=True, env=theirs.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check_requests(theirs.requests, logged)

    ours = Server()
    subprocess.run([sample, folder / "online"], check=True, env=ours.environment())
    online = json.loads((folder / "online/logged.json").read_text())
    assert online["archive"] is None and not list((folder / "online").rglob("*.jsonl"))
    check_requests(ours.requests, online)
    in_order = [[value["metricName"], value["metricValue"], value["step"], value["epoch"]] for value in values(ours.requests, "metric")]
    assert in_order == online["metrics"]
    compare(ours.requests, theirs.requests)
    print(f"{len(logged['metrics'])} metrics are unchanged in the archive, in its upload and in the online run;")
    print(f"{len(ours.requests)} requests have the structure of the {len(theirs.requests)} of Comet's client")


def check_archive(archive, logged):
    """Compares every line with the schema of its type, and every file with the logged values."""
    schemas = pathlib.Path(comet_ml.__file__).parent / "schemas"
    schema = lambda name: json.loads((schemas / f"offline-{name}.schema.json").read_text())
    names = {"metric_msg": "metric-msg", "parameter_msg": "parameter-msg", "log_other": "log-other-msg", "file_upload": "file-upload-msg"}
    names |= {"standard_output": "standard-output-msg", "graph": "graph-msg"}
    with zipfile.ZipFile(archive) as files:
        assert files.testzip() is None
        jsonschema.validate(json.loads(files.read("experiment.json")), schema("experiment"))
        lines = [json.loads(line) for line in files.read("messages.json").splitlines()]
        validators = {kind: jsonschema.Draft7Validator(schema(name)) for kind, name in names.items()}
        for line in lines:
            validators[line["type"]].validate(line["payload"])
        assert {line["type"] for line in lines} == set(names)
        uploads = [line["payload"] for line in lines if line["type"] == "file_upload"]
        assert {upload["file_path"] for upload in uploads} == set(files.namelist()) - {"experiment.json", "messages.json"}
        check_media(logged, {name_of(upload["additional_params"]): files.read(upload["file_path"]) for upload in uploads})


def name_of(about):
    return about.get("figName") or about["fileName"]


def check_media(logged, found):
    """Reads every file with third-party software."""
    picture = Image.open(io.BytesIO(found["val/digits"]))
    assert picture.size == (6, 4) and list(picture.tobytes()) == logged["pixels"]
    assert found["curve"].startswith(b"<svg") and Image.open(io.BytesIO(found["curve png"])).format == "PNG"
    with wave.open(io.BytesIO(found["tone.wav"])) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 2)
        assert sound.readframes(1) == b"\0\0\xff\x3f"
    assert list(csv.reader(io.StringIO(found["counts.csv"].decode()))) == [["digit", "count"], ['seven, "7"', "12"], ["eight", "1.5"]]
    assert found["auto-generated-in-the-backend"].decode() == "# Größe\n*3 µm*"
    assert found["epoch=4.ckpt"] == b"\7" * 300_000
    assert (found["data/a.txt"], found["data/inner/b.txt"]) == (b"a", b"b")
    counted = comet_ml.data_structure.Histogram.from_json(json.loads(found["weights"]), verbose=False)
    expected = comet_ml.data_structure.Histogram()
    expected.add(logged["samples"])
    assert counted.counts == expected.counts and sum(counted.counts) == len(logged["samples"])
    assert len(found) == 10, sorted(found)


def check_csv(archive, path, logged):
    """Checks the output of `comet offline --csv`."""
    comet = pathlib.Path(sys.executable).with_name("comet")
    subprocess.run([comet, "offline", "--csv", archive, "--output", path], check=True, stdout=subprocess.DEVNULL)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["workspace"], row["project"], row["experiment"]) for row in rows} == {("team", "samples", logged["key"])}
    detail = [row for row in rows if row["level"] == "detail"]
    found = [(row["name"], row["value"]) for row in detail if row["section"] == "metric"]
    assert found == [(name, str(value)) for name, value, *_ in logged["metrics"]]
    params = {row["name"]: row["value"] for row in detail if row["section"] == "param"}
    assert params == {name: "" if value is None else str(value) for name, value in logged["params"].items()}, params


def values(requests, what):
    """The values of all batches of a kind, in the order of their arrival."""
    return [value for _, path, _, _, body in requests if path.endswith(f"batch/logger/experiment/{what}") for value in json.loads(body)["values"]]


def check_requests(requests, logged):
    """Checks the final content of the server."""
    line = lambda value: [value["metricName"], value["metricValue"], value["step"], value["epoch"]]
    key = lambda metric: (metric[0], metric[2])
    assert sorted(map(line, values(requests, "metric")), key=key) == sorted(logged["metrics"], key=key)
    assert {value["parameterName"]: value["parameterValue"] for value in values(requests, "parameter")} == logged["params"]
    posted = lambda end: [json.loads(body) for _, path, _, _, body in requests if path.endswith(end)]
    others = {body["key"]: body["value"] for body in posted("log-other")}
    assert others == {"Name": "everything", "Created from": "stormfire", "hasNestedParams": True, "result": "good"}, others
    assert [sorted(body["addedTags"]) for body in posted("add-tags-to-experiment")] == [["rust", "sample"]]
    assert [body["graph"] for body in posted("experiment/graph")] == ["(net/hidden): Linear()\n(net/output): Linear() <- net/hidden\n"]
    output = [(line["output"], line["stderr"]) for body in posted("experiment/output") for line in body["outputLines"]]
    assert output == [("epoch 4 of 4\n", False), ("a warning\n", True)], output
    assert posted("status-report/update")[-1]["is_alive"] is False
    uploads = [(query, parts(headers, body)) for _, path, query, headers, body in requests if path.endswith("/upload")]
    check_media(logged, {name_of(query): form["file"] for query, form in uploads})
    (model,) = [(query, form) for query, form in uploads if query.get("type") == "model-element"]
    assert model[0]["groupingName"] == "model" and json.loads(model[1]["metadata"]) == {"score": 0.25, "aliases": ["best"]}
    for method, path, query, headers, body in requests:
        assert headers["authorization"] == API_KEY
        claimed = query.get("experimentId") or (json.loads(body)["experimentKey"] if method == "POST" else logged["key"])
        assert claimed == logged["key"], path


def parts(headers, body):
    """The parts of a form by name."""
    mark = b"--" + headers["content-type"].split("boundary=")[1].encode()
    found = {}
    for part in body.split(mark)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found[head.split(b'name="')[1].split(b'"')[0].decode()] = content.removesuffix(b"\r\n")
    return found


def shape(request):
    """The structure of a request, without its values."""
    method, path, query, headers, body = request
    facts = [method, path, query.get("type", ""), headers.get("content-encoding", ""), headers["content-type"].split(";")[0] if body else ""]
    if path.endswith("/upload"):
        form = parts(headers, body)
        return tuple(facts + [tuple(sorted(query)), tuple(sorted(form))])
    content = json.loads(body) if body else {}
    inner = next((content[name] for name in ("values", "outputLines") if name in content), [])
    return tuple(facts + [tuple(sorted(content)), tuple(sorted({name for item in inner for name in item}))])


def compare(ours, theirs):
    """Checks that the client also makes each kind of our requests when it uploads the archive of the same values."""
    known = {shape(request) for request in theirs}
    for request in ours:
        assert shape(request) in known, (shape(request), [other for other in known if other[1] == request[1]])
    unsent = {path for _, path, *_ in theirs} - {path for _, path, *_ in ours}
    assert unsent == UPLOAD_ONLY, unsent


if __name__ == "__main__":
    main()
