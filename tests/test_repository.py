"""The repository's public face: project metadata, citation, templates and workflow."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import bundle

ROOT = Path(__file__).parents[1]
YAML_FILES = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_files_are_readable(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_citation_names_version_and_date_of_the_newest_release() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest is not None
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], str(citation["date-released"])) == newest.groups()
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2106.07608"


def test_every_version_of_the_changelog_has_a_date() -> None:
    headings = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    matches = [re.fullmatch(r"## \d+\.\d+\.\d+ - (\d{4}-\d{2}-\d{2})", heading) for heading in headings]
    assert all(matches), headings
    dates = [match[1] for match in matches if match]
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("name", ["bug_report", "feature_request"])
def test_an_issue_form_asks_required_questions_with_unique_ids(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form.keys() >= {"name", "description", "body"}
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in questions}) == len(questions)
    assert any(item.get("validations", {}).get("required") for item in questions)


def test_the_workflow_runs_what_ci_runs_here() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": "bash .ci/run"}
    assert {"python-version": "3.11"} in [step.get("with") for step in steps]


def test_setuptools_reads_version_and_dependencies_from_their_one_source(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "bundle", tmp_path / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()  # other packages stay out
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(tmp_path / done.stdout.splitlines()[-1], tmp_path / "wheel", format="zip")
    (information,) = (tmp_path / "wheel").glob("*.dist-info")
    metadata = message_from_string((information / "METADATA").read_text(encoding="utf-8"))
    assert (metadata["Name"], metadata["Version"]) == ("lung-ct-registration", bundle.__version__)
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert metadata.get_all("Requires-Dist") == pins
    assert {path.name for path in (tmp_path / "wheel").iterdir()} == {"bundle", information.name}
    assert (tmp_path / "wheel" / "bundle" / "py.typed").is_file()
    assert (tmp_path / "wheel" / "bundle" / "hosts" / "label" / "request.py").is_file()
