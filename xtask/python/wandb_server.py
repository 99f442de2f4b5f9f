"""A minimal W&B server for W&B's client. It answers and records every request.

It was written from the requests of `wandb` 0.31. Its answers are invented.
"""

import gzip
import http.server
import json
import re
import threading
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass
class Request:
    method: str
    path: str
    """The name of the GraphQL operation, if it is one."""
    operation: str
    authorization: str
    body: bytes

    def json(self):
        return json.loads(self.body)


class Server:
    """A server on the loopback interface that runs until it is closed."""

    def __init__(self):
        outer = self
        self.requests = []
        self._lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self._body()
                operation = ""
                reply = {}
                if self.path.startswith("/graphql"):
                    asked = json.loads(body)
                    operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"]).group(1)
                    reply = {"data": outer.data(operation, asked.get("variables") or {})}
                elif self.path.endswith("file_stream"):
                    reply = {"exitcode": None, "limits": {}}
                with outer._lock:
                    request = Request(self.command, unquote(self.path), operation, self.headers.get("authorization", ""), body)
                    outer.requests.append(request)
                text = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def _body(self):
                if self.headers.get("transfer-encoding", "").lower() == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length") or 0))
                return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

            do_GET = do_POST = do_PUT = answer

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # A client that is killed leaves its connection open.
        self._server.handle_error = lambda *_: None
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def data(self, operation, variables):
        """The answer to a GraphQL operation."""
        upload = lambda name: f"{self.address}/upload/{name}"
        if operation == "ServerFeaturesQuery":
            names = ("LARGE_FILENAMES", "CLIENT_IDS", "ARTIFACT_TAGS", "FILESTREAM_GZIP", "MARK_RUN_FILES_UPLOADED")
            return {"serverInfo": {"features": [{"name": name, "isEnabled": True} for name in names]}}
        if operation == "RunResumeStatus":
            return {"model": {"bucket": None}}
        if operation == "UpsertBucket":
            project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": variables.get("entity") or "me"}}
            name = variables["name"]
            bucket = {"id": "b", "name": name, "displayName": variables.get("displayName") or name, "description": None}
            bucket |= {"config": variables.get("config") or "{}", "sweepName": None, "historyLineCount": 0, "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": upload(name)} for name in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": ["x-test: 1"], "files": files}}
        if operation == "CreateArtifact":
            return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": {"id": "s", "latestArtifact": None}}}}
        if operation == "CreateArtifactManifest":
            file = {"id": "f", "uploadUrl": upload("manifest"), "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
        if operation == "CreateArtifactFiles":
            node = lambda name: {"id": name, "name": name, "displayName": name, "storagePath": name, "uploadUrl": upload(f"artifact/{name}")}
            rest = {"uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": "a"}}
            edges = [{"node": node(file["name"]) | rest} for file in variables["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        if operation == "Viewer":
            viewer = {"id": "u", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
            return {"viewer": viewer}
        return {}
