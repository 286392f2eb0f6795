"""What a server answers at all: the addresses that are served, the size of a request, the space on the disk."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from monai.utils import optional_import

from bundle.hosts.label.conf import ServerConf
from bundle.hosts.label.result_folders import check_disk

HTTPException, _ = optional_import("fastapi", name="HTTPException")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Served = Callable[[Message, Receive, Send], Awaitable[None]]

READ = ("GET", "HEAD", "OPTIONS")
# Not here, so refused: changing the weights; training, batches, slides and scores, which take options unchecked;
# sessions; the proxy; logs; removing scans, and the archive of all of them.
SERVED = (
    (READ, re.compile(r"/|/docs|/openapi\.json|/favicon\.ico|/static/.*|/info/|/auth/.*")),
    (READ, re.compile(r"/datastore/|/datastore/(image|label)(/info)?")),
    (("PUT", "OPTIONS"), re.compile(r"/datastore/|/datastore/(image|label)(/info)?")),
    (("POST", "OPTIONS"), re.compile(r"/infer/[^/]+|/activelearning/[^/]+|/auth/token")),
)
FILE_NAMES = ("image", "label", "id", "tag")  # MONAI Label makes names of files of these
MB = 1e6
DISCARDED = 8  # times the limit: a client that is sending reads the answer after its body only


class Gate:
    """ASGI middleware that refuses requests before anything of them is read.

    Args:
        app: the application behind it.
        conf: limits.
        uploads: folder for posted files.
        prefix: of all addresses.
    """

    def __init__(self, app: Served, *, conf: ServerConf, uploads: str, prefix: str = "") -> None:
        self.app = app
        self.prefix = prefix
        self.conf = conf
        self.uploads = uploads

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await (self.app(scope, receive, send) if scope["type"] == "lifespan" else send({"type": "websocket.close"}))
            return
        refused = self._refused(scope)
        if refused is not None:
            await self._discard(receive)
            await _answer(send, *refused)
            return
        received = 0

        async def receive_up_to_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.conf.max_request_mb * MB:  # without a Content-Length that said so
                await self._discard(receive)
                raise HTTPException(*self._too_large())
            return message

        await self.app(scope, receive_up_to_limit, send)

    def _refused(self, scope: Message) -> tuple[HTTPStatus, str] | None:
        method, path = scope["method"], scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self.prefix)
        if not any(method in methods and pattern.fullmatch(path) for methods, pattern in SERVED):
            return HTTPStatus.FORBIDDEN, f"{method} {path}: not served here (docs/security.md)"
        if method == "PUT":
            for name, value in parse_qsl(scope["query_string"].decode("latin-1")):
                if name in FILE_NAMES and (set(value) & set("/\\\0") or value.startswith(".")):
                    return HTTPStatus.BAD_REQUEST, f"{name}: expected a name without folders, got {value!r}"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(length) if length.isdigit() else 0
        if size > self.conf.max_request_mb * MB:
            return self._too_large()
        try:
            if method in ("PUT", "POST"):
                check_disk(self.uploads, self.conf.min_free_gb, 2 * size)  # MONAI Label copies posted files
        except OSError as error:
            return HTTPStatus.INSUFFICIENT_STORAGE, str(error.strerror)
        return None

    def _too_large(self) -> tuple[HTTPStatus, str]:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"request larger than {self.conf.max_request_mb:g} MB"

    async def _discard(self, receive: Receive) -> None:
        received, more = 0, True
        while more and received <= DISCARDED * self.conf.max_request_mb * MB:
            message = await receive()
            received += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)


async def _answer(send: Send, status: HTTPStatus, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
