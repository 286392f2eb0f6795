"""MONAI Label's web application, with checked, limited and queued requests: what `scripts/label_server.py` serves.

Needs MONAI Label and its settings; `monailabel.app` reads them as it is imported.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

import torch
from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.config import settings
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance

from bundle.hosts.label.conf import ServerConf, server_conf
from bundle.hosts.label.gate import Gate
from bundle.hosts.label.options import SERVER_CHOICES, check_option, check_options
from bundle.hosts.label.paths import check_inside
from bundle.hosts.label.refusal import refusal
from bundle.hosts.label.result_folders import places, remove_expired
from bundle.io import check_weights, recipe_path

log = logging.getLogger(__name__)

INFER = f"{settings.MONAI_LABEL_API_STR}/infer/{{model}}"
LOGIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))  # does nothing unless logins are enabled
QUERY, FORM = {"image", "session_id", "output"}, {"params", "file", "label"}
RETRY_S = "30"
SWEEP_S = 60.0  # between searches for old results, or less where they are kept for minutes
CONF = server_conf()
computing = ThreadPoolExecutor(max_workers=1)  # in the order of arrival, each with the memory of all
in_work: set[object] = set()  # requests that wait or are computed
checked_weights: dict[str, list[int]] = {}  # times of weights and recipe when they belonged together


async def infer(
    request: Request,
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
    user: Annotated[Any, LOGIN] = None,
) -> Any:
    """Check a request, then register its pair when those before it are done."""
    label_app: MONAILabelApp = app_instance()
    if model not in label_app._infers:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no model {model!r}; expected one of {', '.join(label_app._infers)}")
    if len(in_work) > CONF.max_waiting:
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{CONF.max_waiting} requests wait already; retry later",
            headers={"Retry-After": RETRY_S},
        )
    ticket = object()
    in_work.add(ticket)
    try:
        _refuse_unknown("query", set(request.query_params), QUERY)
        _refuse_unknown("form", set(await request.form()), FORM)
        options = _checked(label_app, model, image, session_id, params, output, has_file=file is not None)
        arguments = (background_tasks, model, image, "", json.dumps(options), file, label, output)
        return await asyncio.get_running_loop().run_in_executor(computing, run_inference, *arguments)
    except HTTPException:
        await background_tasks()  # removes the posted files, as after a good request
        raise
    except Exception as error:
        await background_tasks()
        refused = refusal(error)
        if refused is None:
            log.exception("request failed")
            raise HTTPException(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error ({type(error).__name__}); see the log of the server"
            ) from error
        log.warning("request refused: %s", refused[1])
        raise HTTPException(*refused) from error
    finally:
        in_work.discard(ticket)


def _checked(
    label_app: MONAILabelApp,
    model: str,
    image: str,
    session_id: str,
    params: str,
    output: ResultType | None,
    *,
    has_file: bool,
) -> dict[str, Any]:
    """The options of a request. Raises: ValueError, FileNotFoundError: what is wrong with it."""
    if session_id:
        raise ValueError("session_id: sessions are not served; post the scan as file, or name an id of the datastore")
    if output is ResultType.dicom_seg:
        raise ValueError("output: expected image, json or all: a registration has no segmentation")
    if not has_file and image not in label_app.datastore().list_images():
        if not image:
            raise ValueError("image: expected an id of the datastore, a path on the server, or a posted file")
        check_option("image", image, {})
        check_inside("image", image, CONF.allowed_root)
        if not os.path.exists(image):
            raise FileNotFoundError(f"image: {image}: no id of the datastore and no path on the server")
    try:
        content = json.loads(params or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"params: expected a JSON object of options: {error}") from error
    task = label_app._infers[model]
    options = check_options(content, {name: task.config()[name] for name in SERVER_CHOICES})
    folder, default = os.path.split(task.path[0])
    _check_model(os.path.join(folder, options.get("model_filename", default)))
    return options


def _check_model(path: str) -> None:
    """Check that weights are those of their recipe: MONAI Label would load any that share some names."""
    files = [path, str(recipe_path(path))]
    times = [os.stat(file).st_mtime_ns if os.path.exists(file) else 0 for file in files]
    if checked_weights.get(path) != times:
        check_weights(path, torch.load(path, map_location="cpu", weights_only=True))
        checked_weights[path] = times


def _refuse_unknown(where: str, given: set[str], known: set[str]) -> None:
    for name in sorted(given - known):
        raise ValueError(f"{name}: unknown field of the {where}; expected one of {', '.join(sorted(known))}")


async def _show_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    reasons = [f"{item['loc'][-1]}: {item['msg']}, got {item.get('input')!r}" for item in error.errors()]
    return JSONResponse({"detail": "; ".join(reasons)}, HTTPStatus.BAD_REQUEST)


def _with_sweeps(lifespan: Callable[[FastAPI], Any], conf: ServerConf) -> Callable[[FastAPI], Any]:
    """Remove old results also while no request comes."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(min(SWEEP_S, max(conf.keep_hours * 360, 1.0)))
            for folder in [] if in_work else list(places):  # nothing goes that is still being read
                await asyncio.to_thread(remove_expired, folder, conf.keep_hours)

    @asynccontextmanager
    async def both(served: FastAPI) -> AsyncIterator[None]:
        if conf.results_dir is not None:
            places.add(conf.results_dir)
        async with lifespan(served):
            task = asyncio.create_task(sweep())
            yield
            task.cancel()

    return both


app.router.add_api_route(INFER, infer, methods=["POST"], response_model=None)
app.router.routes.insert(0, app.router.routes.pop())  # before MONAI Label's own
app.add_exception_handler(RequestValidationError, _show_invalid)
app.router.lifespan_context = _with_sweeps(app.router.lifespan_context, CONF)
app.add_middleware(Gate, conf=CONF, uploads=tempfile.gettempdir(), prefix=settings.MONAI_LABEL_API_STR)
