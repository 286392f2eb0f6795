from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from bundle.io import check_weights, read_recipe
from scripts.package import BUNDLE_ROOT, LARGE_BYTES, NAME, list_large_files, package, write_zip

URL = "https://example.org/weights/"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_zip_depends_on_its_contents_alone(tmp_path: Path) -> None:
    contents = {"a/configs/b.json": b"{}", "a/models/model.pt": bytes(range(256))}
    write_zip(tmp_path / "one.zip", contents)
    write_zip(tmp_path / "two.zip", contents)
    assert sha256(tmp_path / "one.zip") == sha256(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o644}  # `unzip` makes it readable


def test_large_files_are_listed_with_address_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "models" / "model.pt"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    (entry,) = yaml.safe_load(list_large_files(tmp_path, [path], URL))["large_files"]
    assert entry == {
        "path": "models/model.pt",
        "url": "https://example.org/weights/model.pt",
        "hash_val": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
        "hash_type": "sha256",
    }


@pytest.mark.parametrize("kind", ["folder with a file", "file"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    file = out if kind == "file" else out / "mine.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(FileExistsError, match=r"out: expected a new or an empty folder"):
        package(str(out), url=URL)
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_the_folder_of_the_pull_request_holds_what_git_tracks_and_no_large_file(packaged: Path) -> None:
    folder = packaged / NAME
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tracked = subprocess.run(["git", "ls-files"], cwd=BUNDLE_ROOT, capture_output=True, text=True, check=True).stdout
    assert names - set(tracked.split("\n")) == {"large_files.yml"}
    assert names >= {"LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json"}
    assert names >= {"docs/README.md", "docs/data_license.txt", "bundle/networks/rrn.py", "scripts/register.py"}
    assert "models/model.json" in names
    assert not any(name.startswith("tests") for name in names)
    assert max((folder / name).stat().st_size for name in names) <= LARGE_BYTES


@pytest.mark.slow
def test_the_large_files_are_the_weights_and_their_torchscript_export(packaged: Path) -> None:
    listed = yaml.safe_load((packaged / NAME / "large_files.yml").read_text())["large_files"]
    assert [entry["path"] for entry in listed] == ["models/model.pt", "models/model.ts"]
    for entry in listed:
        path = packaged / "large_files" / Path(entry["path"]).name
        assert entry["url"] == path.as_uri()
        assert entry["hash_val"] == sha256(path)
    assert sha256(packaged / "large_files" / "model.pt") == sha256(BUNDLE_ROOT / "models" / "model.pt")


@pytest.mark.slow
def test_the_recipe_belongs_to_the_weights_and_to_their_torchscript_export(packaged: Path, tmp_path: Path) -> None:
    shutil.copy(packaged / NAME / "models" / "model.json", tmp_path)
    assert read_recipe(tmp_path / "model.ts") == read_recipe(BUNDLE_ROOT / "models" / "model.pt")
    check_weights(tmp_path / "model.pt", torch.load(packaged / "large_files" / "model.pt", weights_only=True))
    check_weights(tmp_path / "model.ts", torch.jit.load(packaged / "large_files" / "model.ts").state_dict())


@pytest.mark.slow
@torch.no_grad()
def test_the_torchscript_file_gives_the_ddf_of_the_weights(packaged: Path) -> None:
    network = read_recipe(BUNDLE_ROOT / "models" / "model.pt").build_network().eval()
    network.load_state_dict(torch.load(packaged / "large_files" / "model.pt", weights_only=True))
    image = torch.rand(1, 2, 32, 48, 16, generator=torch.Generator().manual_seed(0))
    scripted = torch.jit.load(packaged / "large_files" / "model.ts")
    torch.testing.assert_close(scripted(image), network(image), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_zip_holds_the_folder_and_the_large_files(packaged: Path) -> None:
    folder = packaged / NAME
    names = {f"{NAME}/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}
    with zipfile.ZipFile(packaged / f"{NAME}.zip") as archive:
        assert set(archive.namelist()) == names | {f"{NAME}/models/model.pt", f"{NAME}/models/model.ts"}
        assert f"{NAME}/models/model.json" in names
        assert archive.testzip() is None


@pytest.mark.slow
def test_a_second_package_is_the_same_byte_for_byte_and_names_no_folder_of_this_machine(
    packaged: Path, tmp_path: Path
) -> None:
    again = tmp_path / "another" / "place"
    again.mkdir(parents=True)  # an empty folder will do
    package(str(again), url=(packaged / "large_files").as_uri())
    assert sha256(again / f"{NAME}.zip") == sha256(packaged / f"{NAME}.zip")
    with zipfile.ZipFile(again / "large_files" / "model.ts") as archive:
        for name in archive.namelist():
            assert str(BUNDLE_ROOT).encode() not in archive.read(name), name
            assert str(tmp_path.parent).encode() not in archive.read(name), name
