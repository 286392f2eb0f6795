"""Pack the bundle for the places that share models: MONAI's model zoo and Hugging Face."""

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

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

log = logging.getLogger(__name__)
BUNDLE_ROOT = Path(__file__).absolute().parents[1]
NAME = "lung_ct_registration"
CONTENT = ("LICENSE", "README.md", "bundle", "configs", "docs", "models", "requirements.txt", "scripts")
LARGE_BYTES = 25_000_000  # size limit of the zoo's git repository


def package(output_dir: str, url: str | None = None) -> None:
    """Write the bundle, as tracked by git, in three forms to the new or empty folder OUTPUT_DIR.

    OUTPUT_DIR/lung_ct_registration is the folder for a pull request to the model zoo. Its large_files.yml replaces the
    files above 25 MB, the weights and their TorchScript export. These are in OUTPUT_DIR/large_files, for upload.
    OUTPUT_DIR/lung_ct_registration.zip holds everything in one file, for monai.bundle's `download` and `load`.
    OUTPUT_DIR/huggingface is the content of a Hugging Face model repository: everything, with a model card.

    Args:
        output_dir: folder, created if missing; appears when all files are complete.
        url: address of the uploaded large files, without their names; by default OUTPUT_DIR/large_files itself, which
            works on this machine only.
    """
    import torch

    from bundle.io import atomic_path, check_weights

    folder = Path(output_dir).absolute()
    if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
        raise FileExistsError(f"{output_dir}: expected a new or an empty folder, found a file or a folder with files")
    address = url or (folder / "large_files").as_uri()
    with atomic_path(folder) as temporary:
        bundle = temporary / NAME
        copy_tracked(bundle)
        weights = bundle / "models" / "model.pt"
        check_weights(weights, torch.load(weights, map_location="cpu", weights_only=True))
        export_torchscript(bundle)
        write_huggingface(temporary / "huggingface", bundle)
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
    log.info("%s: done; large_files.yml expects large_files at %s", output_dir, address)


def copy_tracked(bundle: Path) -> None:
    """Copy the files of the bundle that git tracks, as they are in the working tree, to the folder BUNDLE."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *CONTENT], cwd=BUNDLE_ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(BUNDLE_ROOT / name, bundle / name)


def write_huggingface(folder: Path, bundle: Path) -> None:
    """Copy BUNDLE to FOLDER with a model card as README.md; the bundle's own README.md becomes USAGE.md."""
    from bundle.hosts.hugging_face import README_NAME, model_card

    shutil.copytree(bundle, folder)
    (folder / "README.md").rename(folder / README_NAME)
    (folder / "README.md").write_text(model_card(bundle, NAME), encoding="utf-8")


def export_torchscript(bundle: Path) -> None:
    """Export BUNDLE/models/model.pt to model.ts, reproducibly and without paths of this machine."""
    log.info("models/model.ts: exporting the network")
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}  # the hash seed orders its code
    subprocess.run(
        [sys.executable, "-m", "monai.bundle", "ckpt_export", "--config_file", "configs/inference.json"],
        cwd=bundle, env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    path = bundle / "models" / "model.ts"
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".debug_pkl", "serialization_id"))]
        contents = {name: archive.read(name) for name in names}  # the rest is for error messages only
    write_zip(path, contents)


def list_large_files(bundle: Path, paths: list[Path], url: str) -> str:
    """Content of large_files.yml for files of BUNDLE that will be uploaded to URL."""
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
    """Write an uncompressed zip without times and owners: equal contents give equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(package, old_names={"out": "output_dir"})
