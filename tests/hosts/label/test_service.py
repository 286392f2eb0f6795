"""Requests to a real server that has limits: what it refuses, with which reason, and what it leaves behind."""

from __future__ import annotations

import http
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from bundle.io import write_image
from bundle.synthetic.phantom import make_phantom
from tests.hosts.label_server import (
    COARSE,
    ENVIRONMENT,
    Address,
    Answer,
    copy_bundle,
    get,
    needs_label,
    post,
    send,
    serving,
)
from tests.mounts import read_only

pytestmark = [pytest.mark.slow, needs_label]
GOOD = {"moving": "exhale", **COARSE}
SHARED = {"in.nii.gz": "fixed", "ex.nii.gz": "moving"}
MAX_GROWTH = 1.1  # of the memory
NUM_REQUESTS, NUM_WARM = 50, 10


class Server(NamedTuple):
    """A server, the folder of results, and the folder of what it may read; beside the latter lies the same again."""

    url: Address
    results: Path
    root: Path

    def ask(self, params: dict[str, Any], *, query: str = "image=inhale&output=json", **files: Path) -> Answer:
        return post(f"{self.url}/infer/lung_registration?{query}", params, **files)

    def posted(self) -> list[Path]:
        """Files that clients have sent and the server still has."""
        return list(self.temporary().glob("tmp*.nii.gz"))

    def temporary(self) -> Path:
        environment = Path(f"/proc/{self.url.pid}/environ").read_bytes()  # as it was started
        assert b"\0TMPDIR=" + bytes(self.root.parent / "tmp") in environment
        (folder,) = (self.root.parent / "tmp").glob("label_server_*")
        return folder


@pytest.fixture(scope="module")
def small_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    case = make_phantom(1, spacing_mm=(3.0, 3.0, 3.5), diaphragm_mm=(8.0, 15.0), body_scale=0.5)
    for key in ("fixed", "moving"):
        affine = torch.from_numpy(getattr(case, f"{key}_affine"))
        write_image(folder / f"{key}.nii.gz", getattr(case, key), affine, dtype=np.int16)
    return folder


def lay_out(folder: Path, pair: Path) -> tuple[Path, Path]:
    """A bundle and the studies of a server, whose network runs once for a request that is not refined."""
    copy_bundle(folder / "bundle")
    config = folder / "bundle" / "configs" / "inference.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_passes": 1, "antisymmetric": False}))
    (folder / "studies").mkdir()
    for name, key in (("inhale", "fixed"), ("exhale", "moving")):
        shutil.copy(pair / f"{key}.nii.gz", folder / "studies" / f"{name}.nii.gz")
    return folder / "bundle", folder / "studies"


@pytest.fixture(scope="module")
def server(small_pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    bundle, studies = lay_out(folder, small_pair)
    for place in ("root", "root_of_others"):
        (folder / place).mkdir()
        for name, key in SHARED.items():
            shutil.copy(small_pair / f"{key}.nii.gz", folder / place / name)
    (folder / "tmp").mkdir()
    conf = {"allowed_root": str(folder / "root"), "results_dir": str(folder / "results"), "keep_hours": "0.003"}
    limits = {"max_request_mb": "2", "max_waiting": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "TMPDIR", str(folder / "tmp"))
        with serving(bundle / "scripts" / "label_app", studies, **conf, **limits) as url:
            yield Server(url, folder / "results", folder / "root")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bogus": 1}, "'bogus': unknown option; expected one of client_id"),
        ({"refine": "affine"}, "refine: expected one of none, field, network, got 'affine'"),
        ({"refine": "$__import__('os').mkdir('/tmp/executed')"}, "refine: expected one of"),
        ({"moving": "%/etc/passwd"}, "moving: expected a text that does not begin with $, @, %"),
        ({"spacing_mm": -1}, "spacing_mm: expected 0.5 to 10 mm, got -1"),
        ({"landmark_system": "mni", **GOOD}, "landmark_system: expected one of"),
        ({"moving": "unknown"}, "moving: unknown: no id of the datastore, and no path in the folders"),
        ({"moving": "half \ud800"}, "moving: expected a text of whole characters"),
        ([1], "params: expected a JSON object"),
    ],
)
def test_a_wrong_option_is_a_bad_request_with_the_reason(server: Server, params: Any, message: str) -> None:
    answer = server.ask(params)
    assert (answer.status, message in answer.json["detail"]) == (400, True), answer


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("image=unknown", 400, "image: unknown: no id of the datastore, and no path in the folders"),
        ("", 400, "image: expected an id of the datastore, a path on the server, or a posted file"),
        ("image=inhale&refine=none", 400, "refine: unknown field of the query; expected one of image, output"),
        ("image=inhale&output=movie", 400, "output: Input should be"),
        ("image=inhale&output=dicom_seg", 400, "output: expected image, json or all"),
        ("image=inhale&session_id=../x", 400, "session_id: sessions are not served"),
        ("image=a%00b", 400, "image: expected a text without null characters"),
    ],
)
def test_a_wrong_address_too(server: Server, query: str, status: int, message: str) -> None:
    answer = server.ask(GOOD, query=query)
    assert (answer.status, answer.json["detail"][: len(message)]) == (status, message)


def test_options_that_are_nested_without_end_are_refused(server: Server) -> None:
    boundary, deep = "b", "[" * 100_000
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{deep}\r\n--{boundary}--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = send("POST", f"{server.url}/infer/lung_registration?image=inhale", body.encode(), **headers)
    assert (answer.status, answer.json["detail"][:30]) == (400, "params: expected a JSON object"), answer


def test_a_pipe_that_never_ends_is_refused(server: Server) -> None:
    os.mkfifo(server.root / "endless.nii")
    answer = server.ask({**GOOD, "fixed_mask": str(server.root / "endless.nii")})
    assert answer.status == 400
    assert "fixed_mask: " in answer.json["detail"]
    assert "expected a file or a folder, found a pipe, a socket or a device" in answer.json["detail"]


def test_an_unknown_model_is_not_found(server: Server) -> None:
    answer = post(f"{server.url}/infer/brain?image=inhale", GOOD)
    assert (answer.status, answer.json["detail"]) == (404, "no model 'brain'; expected one of lung_registration")


OPTIONS = ("moving", "fixed_mask", "moving_mask", "fixed_landmarks", "moving_landmarks", "initial_transform")


@pytest.mark.parametrize("option", [*OPTIONS, "image"])
@pytest.mark.parametrize("way", ["..", "link", "absolute", "proc", "missing"])
def test_no_option_leads_out_of_the_allowed_folder(server: Server, option: str, way: str) -> None:
    link = server.root / "link.nii.gz"
    if not link.is_symlink():
        link.symlink_to(server.root.parent / "root_of_others" / "ex.nii.gz")
    path = {
        "..": f"{server.root}/../root_of_others/ex.nii.gz",
        "link": str(link),
        "absolute": str(server.root.parent / "root_of_others" / "ex.nii.gz"),
        "proc": f"/proc/self/root{server.root.parent}/root_of_others/ex.nii.gz",
        "missing": str(server.root.parent / "root_of_others" / "none.nii.gz"),
    }[way]
    answer = server.ask(GOOD, query=f"image={path}") if option == "image" else server.ask({**GOOD, option: path})
    expected = f"{option}: {path}: no id of the datastore, and no path in the folders this server may read"
    assert (answer.status, answer.json["detail"]) == (400, expected)


def test_what_lies_in_the_allowed_folder_is_registered_and_its_old_result_removed(server: Server) -> None:
    path = f"{server.root}/../root/ex.nii.gz"
    answer = server.ask({**GOOD, "moving": path}, query=f"image={server.root / 'in.nii.gz'}&output=json")
    assert answer.status == 200, answer
    folder = Path(answer.json["files"]["warped.nii.gz"]).parent
    assert folder.parent == server.results
    deadline = time.monotonic() + 120
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(1)
    assert not folder.exists(), "kept longer than keep_hours"


def test_posted_files_are_registered_and_removed_also_after_a_bad_request(server: Server, small_pair: Path) -> None:
    files = {"file": small_pair / "fixed.nii.gz", "label": small_pair / "moving.nii.gz"}
    assert server.ask(COARSE, query="output=image", **files).status == 200
    assert server.ask({**COARSE, "fixed_mask": "/etc/passwd"}, query="output=image", **files).status == 400
    assert server.ask({"bogus": 1}, query="output=image", **files).status == 400
    deadline = time.monotonic() + 10  # removed after the answer
    while server.posted() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.posted() == []


def test_a_request_above_the_limit_is_refused_with_and_without_its_size(server: Server) -> None:
    url = f"{server.url}/infer/lung_registration?image=inhale"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.nii.gz"\r\n\r\n'
    body = head + bytes(3_000_000) + b"\r\n--x--\r\n"
    for sent in (body, (body[start : start + 65536] for start in range(0, len(body), 65536))):
        answer = send("POST", url, sent, **kind)
        assert (answer.status, answer.json["detail"]) == (413, "request larger than 2 MB")
    assert server.posted() == []


def test_weights_cannot_be_replaced(server: Server) -> None:
    for method in ("PUT", "DELETE"):
        assert send(method, f"{server.url}/model/lung_registration").status == http.HTTPStatus.FORBIDDEN


def test_requests_at_once_wait_for_each_other_and_the_server_answers_meanwhile(server: Server) -> None:
    """Two are answered; a third would wait behind one that waits, which the limit forbids."""
    assert server.ask(GOOD).status == 200
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.ask, {**GOOD, "refine": "field"}) for _ in range(2)]
        time.sleep(0.5)
        assert get(f"{server.url}/info/").status == 200
        third = server.ask(GOOD)
        assert not any(answer.done() for answer in answers)
        assert [answer.result().status for answer in answers] == [200, 200]
    assert (third.status, third.json["detail"]) == (503, "1 requests wait already; retry later")
    assert server.ask(GOOD).status == 200


def test_fifty_good_and_bad_requests_leave_the_memory_as_it_was(server: Server, small_pair: Path) -> None:
    cut = server.root / "cut.nii.gz"
    cut.write_bytes((small_pair / "moving.nii.gz").read_bytes()[:5000])
    posted = {"file": small_pair / "fixed.nii.gz", "label": cut}
    cycle = [
        (200, lambda: server.ask(GOOD)),
        (400, lambda: server.ask({"bogus": 1})),
        (400, lambda: server.ask({**GOOD, "moving": str(cut)})),
        (400, lambda: server.ask(COARSE, query="output=image", **posted)),
        (400, lambda: server.ask({**GOOD, "moving_mask": str(server.root / "none.nii.gz")})),
    ]
    for number in range(NUM_REQUESTS):
        status, ask = cycle[number % len(cycle)]
        assert ask().status == status
        if number == NUM_WARM - 1:
            before = memory(server.url.pid)
    assert memory(server.url.pid) < MAX_GROWTH * before


def memory(pid: int) -> int:
    """Resident memory of a process, kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def test_a_read_only_bundle_is_served_with_its_results_elsewhere(small_pair: Path, tmp_path: Path) -> None:
    bundle, studies = lay_out(tmp_path, small_pair)
    with read_only(bundle), serving(bundle / "scripts" / "label_app", studies) as url:
        answer = post(f"{url}/infer/lung_registration?image=inhale&output=json", GOOD)
        assert answer.status == 200, answer
        files = [Path(file) for file in answer.json["files"].values()]
        assert all(file.is_file() and not file.is_relative_to(bundle) for file in files)


def test_weights_that_are_not_those_of_their_recipe_are_refused(server: Server) -> None:
    path = server.root.parent / "bundle" / "models" / "model.json"
    recipe = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(recipe) | {"weights_sha256": "0" * 64}))
        answer = server.ask(GOOD)
    finally:
        path.write_text(recipe)
    assert answer.status == 400
    assert "this recipe belongs to other weights" in answer.json["detail"]
    assert server.ask(GOOD).status == 200
