"""The gate in front of a small application; a real server is asked in test_service.py."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bundle.hosts.label.conf import ServerConf
from bundle.hosts.label.gate import Gate

CONF = ServerConf(max_request_mb=0.001, min_free_gb=0.0)


def ask(
    method: str, path: str, *, query: str = "", length: int | None = None, conf: ServerConf = CONF, root_path: str = ""
) -> tuple[int, str]:
    """Status and reason of a request without body; 200 if it reaches the application."""
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"detail": ""}'})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "method": method, "path": root_path + path, "root_path": root_path}
    scope |= {"query_string": query.encode(), "headers": headers}
    asyncio.run(Gate(application, conf=conf, uploads=str(Path.cwd()))(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"]


@pytest.mark.parametrize(
    "request_",
    [
        "GET /",
        "GET /info/",
        "GET /openapi.json",
        "GET /datastore/",
        "GET /datastore/label",
        "HEAD /datastore/image",
        "PUT /datastore/image",
        "PUT /datastore/label",
        "POST /infer/lungs",
        "OPTIONS /infer/lungs",
        "POST /activelearning/random",
    ],
)
def test_what_clients_need_is_served(request_: str) -> None:
    assert ask(*request_.split()) == (200, "")
    assert ask(*request_.split(), root_path="/behind/a/proxy") == (200, "")


@pytest.mark.parametrize(
    "request_",
    [
        "PUT /model/lungs",
        "DELETE /model/lungs",
        "GET /model/lungs",
        "POST /batch/infer/lungs",
        "POST /infer/wsi/lungs",
        "POST /infer/wsi_v2/lungs",
        "POST /train/lungs",
        "POST /scoring/lungs",
        "PUT /session/",
        "GET /proxy/dicom/studies",
        "GET /logs/",
        "POST /reload",
        "DELETE /datastore/image",
        "DELETE /datastore/",
        "GET /datastore/dataset",
        "GET /info/../model/lungs",
    ],
)
def test_what_could_do_harm_is_not(request_: str) -> None:
    assert ask(*request_.split()) == (403, f"{request_}: not served here (docs/security.md)")


@pytest.mark.parametrize("query", ["image=..%2Fx", "image=a&tag=../../x", "tag=%2Fetc", "image=.hidden", "id=a%5Cb"])
def test_names_of_files_hold_no_folders(query: str) -> None:
    status, reason = ask("PUT", "/datastore/label", query=query)
    assert status == 400
    assert "expected a name without folders" in reason
    assert ask("PUT", "/datastore/label", query="image=patient1&tag=final") == (200, "")


def test_the_size_that_a_request_states_is_limited() -> None:
    assert ask("POST", "/infer/lungs", length=1000) == (200, "")
    assert ask("POST", "/infer/lungs", length=1001) == (413, "request larger than 0.001 MB")


def test_posts_keep_the_reserve_of_the_disk() -> None:
    status, reason = ask("POST", "/infer/lungs", conf=ServerConf(min_free_gb=1e9))
    assert (status, reason[:18]) == (507, "the disk must keep")
    assert ask("GET", "/info/", conf=ServerConf(min_free_gb=1e9)) == (200, "")
