"""A real MONAI Label server on loopback, and what a client of it needs."""

from __future__ import annotations

import email.message
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.hosts.environments import ROOT, needs, python_of

PYTHON = python_of("label")
MAIN = ROOT / "scripts" / "label_server.py"
# the affine alignment depends on the order of sums in its last digits: as many threads wherever results are compared
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
COARSE = {"spacing_mm": 4.0, "refine": "none"}  # seconds a pair
START_S = 180
needs_label = needs("label")


class Answer(NamedTuple):
    """HTTP status, and the parts of the body by name; the only part of a plain body has the name ""."""

    status: int
    parts: dict[str, bytes]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.parts.get("params", self.parts.get("", b"")))


def copy_bundle(folder: Path) -> None:
    """What a server needs of the bundle, elsewhere: results go into the bundle's folder."""
    for part in ("bundle", "configs", "models", "scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))


class Address(str):
    """Address of a server, and its process."""

    pid: int


@contextmanager
def serving(app: Path, studies: Path, **conf: str) -> Iterator[Address]:
    """Address of a server of `app` over the scans in `studies`, which ends with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = ["--app", app, "--studies", studies, "--host", "127.0.0.1", "--port", port]
    command = [PYTHON, MAIN, "start_server", *options]
    for key, value in conf.items():
        command += ["--conf", key, value]
    log = studies.with_name("server.log")  # the app may be read-only
    with log.open("w") as file:
        server = subprocess.Popen(
            list(map(str, command)), cwd=studies.parent, env=ENVIRONMENT, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + START_S
        while not _is_up(f"{url}/info/"):
            assert server.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.5)
        address = Address(url)
        address.pid = server.pid
        yield address
    finally:
        server.terminate()
        server.wait(30)


def get(url: str) -> Answer:
    return _send(urllib.request.Request(url))


def post(url: str, params: Mapping[str, Any], **files: Path) -> Answer:
    """Send parameters and files as the form that `curl -F` makes of them."""
    boundary = uuid.uuid4().hex
    fields = [('name="params"', json.dumps(params).encode())]
    fields += [(f'name="{name}"; filename="{path.name}"', path.read_bytes()) for name, path in files.items()]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        for head, value in fields
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return _send(urllib.request.Request(url, body + f"--{boundary}--\r\n".encode(), headers))


def send(method: str, url: str, body: bytes | Iterable[bytes] = b"", **headers: str) -> Answer:
    """Send any request; a body of parts goes without a Content-Length."""
    return _send(urllib.request.Request(url, body or None, headers, method=method))


def _is_up(url: str) -> bool:
    try:
        return get(url).status == 200
    except urllib.error.URLError:
        return False


def _send(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return Answer(response.status, _parts(response.headers["Content-Type"], response.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, {"": error.read()})


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    header = email.message.Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if boundary is None:
        return {"": body}
    parts = {}
    for part in body.split(f"--{boundary}".encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        parts[head.decode().partition('name="')[2].partition('"')[0]] = value.removesuffix(b"\r\n")
    return parts
