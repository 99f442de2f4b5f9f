"""Starts a real trackio server, runs our sample program with it, and reads the values back with trackio's command line and
classes.

usage: trackio_check.py FOLDER PORT SAMPLE STORMFIRE
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import wave
from pathlib import Path

PROJECT, RUN, TOKEN, STEPS = "sample.project", "run 1", "token-of-the-check", 1000


class Server:
    def __init__(self, folder, port):
        self.folder, self.url, self.process = folder, f"http://127.0.0.1:{port}", None
        self.env = {
            **os.environ,
            "TRACKIO_DIR": str(folder / "server"),
            "TRACKIO_WRITE_TOKEN": TOKEN,
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_NUM_PORTS": "1",
            # No window is opened, and no request goes to Hugging Face.
            "BROWSER": "true",
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(folder / "hugging-face"),
            "NO_PROXY": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self):
        log = open(self.folder / "server.log", "a")
        command = [sys.executable, "-m", "trackio.cli", "show", "--host", "127.0.0.1"]
        self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        begin = time.monotonic()
        while time.monotonic() - begin < 60:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/version", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"trackio did not start: {(self.folder / 'server.log').read_text()}")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def cli(self, *args):
        command = [sys.executable, "-m", "trackio.cli", *args, "--json"]
        return json.loads(subprocess.run(command, env=self.env, check=True, stdout=subprocess.PIPE).stdout)

    def api(self, function, **kwargs):
        request = urllib.request.Request(f"{self.url}/api/{function}", json.dumps(kwargs).encode())
        return json.load(urllib.request.urlopen(request))["data"]


def main():
    folder, port = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    sample, stormfire = [Path(argument).resolve() for argument in sys.argv[3:]]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server = Server(folder, port)
    env = {**server.env, "TRACKIO_SERVER_URL": server.url}
    command = lambda life: [str(sample), str(folder), life]
    try:
        # A run that ends before the server starts.
        subprocess.run(command("away"), env=env, check=True)
        server.start()
        sent_later(server, folder, stormfire, env)
        killed = subprocess.run(command("first"), env=env, stderr=subprocess.DEVNULL)
        assert killed.returncode == -signal.SIGABRT, killed
        before = len(rows(server))
        # During the resumed run, the server disappears and comes back.
        server.stop()
        second = subprocess.Popen(command("second"), env=env, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        server.start()
        told, _ = second.communicate(timeout=120)
        assert second.returncode == 0, second.returncode
        print("the sample says:", told.strip())
        check(server, folder, before)
    finally:
        server.stop()


def sent_later(server, folder, stormfire, env):
    told = subprocess.run([stormfire, "sync", "."], cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "`late/run 2`" in told and told.endswith("\n  51 delivered, 0 spooled, 0 refused\n"), told
    logs = server.api("get_logs_batch", project="late", runs=[{"run": "run 2"}], max_points=10000)[0]["logs"]
    assert sorted(row["step"] for row in logs if "loss" in row) == list(range(50)), logs
    [image] = [row["image"] for row in logs if "image" in row]
    assert (folder / "server/media" / image["file_path"]).read_bytes().startswith(b"\x89PNG"), image
    assert not any((folder / ".stormfire/trackio").iterdir())


def rows(server):
    runs = server.cli("list", "runs", "--project", PROJECT)
    assert [run if isinstance(run, str) else run["name"] for run in runs["runs"]] == [RUN], runs
    return server.api("get_logs_batch", project=PROJECT, runs=[{"run": RUN}], max_points=10000)[0]["logs"]


def check(server, folder, before):
    def compare(name, got):
        wanted = expected_series()[name]
        assert same(got, wanted), (name, [pair for pair in zip(got, wanted) if not same(*pair)][:5], len(got), len(wanted))

    for name in ("loss", "test_loss"):
        values = server.cli("get", "metric", "--project", PROJECT, "--run", RUN, "--metric", name)["values"]
        compare(name, [(point["step"], point["value"]) for point in values])
    media = {}
    scalars = []
    for row in rows(server):
        values = {key: value for key, value in row.items() if key not in ("timestamp", "step")}
        if row["step"] == 0 and not any(key in values for key in ("loss", "samples")):
            media.update(values)
        else:
            scalars.append((row["step"], values))
    assert [step for step, _ in scalars] == list(range(STEPS + 1)), "a row is missing, duplicated, or in the wrong position"
    assert before == 30 + 7, before
    for name in expected_series():
        # Over HTTP, values without a JSON form are null.
        values = [(step, values[name]) for step, values in scalars if name in values]
        compare(name, [(step, special(step) if value is None else value) for step, value in values])
    assert scalars[3][1] == {"loss": 1 / 6, "samples": 48.0, "epoch": 0.0, "__time": 0.5, "val/acc": 3 / 7 + 0.5}, scalars[3]
    check_media(media, folder)

    config = server.api("get_run_configs", project=PROJECT)
    (config,) = config.values()
    wanted = {"lr": 0.001, "net": {"depth": 2, "name": "cnn", "sizes": [8, 16]}, "none": None, "_Group": "group 1"}
    assert config == wanted, config
    summary = server.cli("get", "run", "--project", PROJECT, "--run", RUN)
    assert summary["num_logs"] == STEPS + 1 + 7 and summary["last_step"] == STEPS, summary
    print(f"trackio has {summary['num_logs']} rows of one run, each once, and all media")


def special(step):
    return {5: math.nan, 6: math.inf, 7: -math.inf}.get(step)


def expected_series():
    steps = range(STEPS)
    return {
        "loss": [(step, special(step) or 1 / (step + 3)) for step in steps],
        "samples": [(step, 48.0) for step in steps],
        "epoch": [(step, float(step // 10)) for step in steps],
        "__time": [(step, 0.5) for step in steps],
        "val/acc": [(step, (step / 7 + (step / 7 + 1)) / 2) for step in steps],
        "test_loss": [(STEPS, 0.10000000149011612)],
    }


def same(got, wanted):
    if isinstance(wanted, float):
        got = float(got)
        return got == wanted or (math.isnan(got) and math.isnan(wanted))
    if isinstance(wanted, (list, tuple)):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    return got == wanted


def check_media(media, folder):
    """Checks each value in the form of trackio's classes, and each file at the path in the row."""
    import trackio
    from PIL import Image

    assert sorted(media) == ["note", "plot", "plot.png", "table", "tone", "val/image", "weights"], sorted(media)
    assert media["note"] == trackio.Markdown("# A note")._to_dict(), media["note"]
    assert media["weights"] == trackio.Histogram(np_histogram=([2.0, 0.0, 1.0], [0.0, 1.0, 2.0, 3.0]))._to_dict(), media["weights"]
    table = trackio.Table(columns=["label", "count"], data=[["seven", 7], ["π", None]])
    assert media["table"] == table._to_dict(PROJECT, RUN), media["table"]

    def opened(name, kind):
        value = media[name]
        assert value.keys() == {"_type", "file_path", "caption"} and value["_type"] == kind, value
        return folder / "server/media" / value["file_path"]

    for name in ("val/image", "plot.png"):
        image = Image.open(opened(name, trackio.Image.TYPE))
        assert (image.mode, image.size, image.tobytes()) == ("RGB", (2, 1), bytes([255, 0, 0, 0, 0, 255])), image
    page = opened("plot", trackio.Html.TYPE).read_text()
    assert page.startswith("<!doctype html>") and "<svg xmlns='http://www.w3.org/2000/svg'/>" in page, page
    with wave.open(str(opened("tone", trackio.Audio.TYPE))) as sound:
        assert sound.getparams()[:4] == (2, 2, 8000, 2), sound.getparams()
        frames = sound.readframes(2)
        assert [int.from_bytes(frames[at : at + 2], "little", signed=True) for at in range(0, 8, 2)] == [0, 32767, -32767, 16383]


if __name__ == "__main__":
    main()
