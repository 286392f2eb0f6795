"""Pack the bundle for MONAI's model zoo: a folder for the pull request, the files too large for it, and one zip."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import fire

from bundle.io import atomic_path

log = logging.getLogger(__name__)
BUNDLE_ROOT = Path(__file__).resolve().parents[1]
NAME = "lung_ct_registration"
CONTENT = ("LICENSE", "README.md", "bundle", "configs", "docs", "models", "requirements.txt", "scripts")
LARGE_BYTES = 25_000_000  # the zoo takes no larger file into git


def package(out: str, url: str | None = None) -> None:
    """Write the zoo's form of this bundle to the new or empty folder OUT.

    OUT/lung_ct_registration is the folder of a pull request: what git tracks of the bundle, with large_files.yml in
    place of files above 25 MB. These, the weights and their TorchScript export, are OUT/large_files, to be uploaded.
    OUT/lung_ct_registration.zip holds everything: monai.bundle's `download`, `load` and `load_bundle_config` take it.

    Args:
        out: folder, made if missing; appears when all is done.
        url: address under which the files of OUT/large_files will be found, without their names; that folder's own if
            missing, which serves on this machine alone.
    """
    folder = Path(out).resolve()
    if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
        raise FileExistsError(f"{out}: expected a new or an empty folder, found a file or a folder with files")
    address = url or (folder / "large_files").as_uri()
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *CONTENT], cwd=BUNDLE_ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    with atomic_path(folder) as temporary:
        bundle = temporary / NAME
        for name in filter(None, tracked):
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(BUNDLE_ROOT / name, bundle / name)
        export_torchscript(bundle)
        files = sorted(path for path in bundle.rglob("*") if path.is_file())
        large = [path for path in files if path.stat().st_size > LARGE_BYTES]
        (bundle / "large_files.yml").write_text(list_large_files(bundle, large, address))
        files.append(bundle / "large_files.yml")
        log.info("%s.zip: %d files", NAME, len(files))
        contents = {str(path.relative_to(temporary)): path.read_bytes() for path in files}
        write_zip(temporary / f"{NAME}.zip", contents)
        (temporary / "large_files").mkdir()
        for path in large:
            path.rename(temporary / "large_files" / path.name)
    log.info("%s: done; large_files.yml expects large_files at %s", out, address)


def export_torchscript(bundle: Path) -> None:
    """Export BUNDLE/models/model.pt to model.ts: the same every time, without paths of this machine."""
    log.info("models/model.ts: exporting the network")
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}  # the hash seed orders its code
    subprocess.run(
        [sys.executable, "-m", "monai.bundle", "ckpt_export", "--config_file", "configs/inference.json"],
        cwd=bundle, env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    path = bundle / "models" / "model.ts"
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".debug_pkl", "serialization_id"))]
        contents = {name: archive.read(name) for name in names}  # what is left out only words error messages
    write_zip(path, contents)


def list_large_files(bundle: Path, paths: list[Path], url: str) -> str:
    """The text of large_files.yml for files of BUNDLE that will be found under URL."""
    lines = ["large_files:"]
    for path in paths:
        lines += [
            f"  - path: {json.dumps(str(path.relative_to(bundle)))}",
            f"    url: {json.dumps(url.rstrip('/') + '/' + path.name)}",
            f"    hash_val: {json.dumps(hashlib.sha256(path.read_bytes()).hexdigest())}",
            '    hash_type: "sha256"',
        ]
    return "\n".join(lines) + "\n"


def write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a zip that is the same byte for byte whenever and wherever it is made: no times, owners or compressor."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire(package)
