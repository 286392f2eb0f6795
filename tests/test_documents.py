"""Links, paths, commands and options that README.md and docs/ name."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli import DEBUG
from tests.test_figures import section, table_rows

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").iterdir() if path.is_file())]
MARKDOWN = [page for page in PAGES if page.endswith(".md")]
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
GENERATED = {"models/model.ts"}  # named in the documents, not part of the repository
HOST_OPTIONS = {"help", "config_file", "ckpt_file", "meta_file", "net_id", "filepath", "input_shape", "bundle_path"}
HOST_OPTIONS |= {"converter_kwargs", "use_onnx", "standalone", "nproc_per_node"}  # of MONAI and torchrun
HOST_OPTIONS |= {"max_restarts", "nnodes", "requeue", "rdzv_id", "rdzv_backend", "rdzv_endpoint"}  # of torchrun, sbatch
HOST_OPTIONS |= {"conf", "host", "ssl_keyfile", "ssl_certfile"}  # of MONAI Label


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_path_exists(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page]):
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings], link
    for path in re.findall(r"(?<![\w./-])((?:bundle|configs|docs|models|scripts|tests)/[\w./-]*\w)", TEXTS[page]):
        assert path in GENERATED or (ROOT / path).exists(), path
    for name in re.findall(r"`[^`\n]*?(?<![\w./-])(bundle(?:\.\w+)+)", TEXTS[page]):
        assert pkgutil.resolve_name(name) is not None


def code(text: str) -> str:
    """The code of a page: blocks and spans, a command on one line."""
    blocks = re.findall(r"```\w*\n(.*?)```|^((?:    .*\n)+)", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    joined = "\n".join([*("".join(block) for block in blocks), *(span.replace("\n", " ") for span in spans)])
    return re.sub(r"\\\n\s*", "", joined)


def options_of(module: str, subcommand: str) -> set[str]:
    """Options of a command line, from its source: hosts' commands cannot be imported here."""
    path = ROOT / Path(*module.split("."))
    tree = ast.parse((path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = [node for node in ast.walk(tree.body[-1]) if isinstance(node, ast.Call) and node.args]
    (called,) = [call.args[0] for call in calls if re.search(r"run|Fire", ast.unparse(call.func))]
    if isinstance(called, ast.Dict):
        names = [ast.literal_eval(key) for key in called.keys if key is not None]
        called = called.values[names.index(subcommand)]
    arguments = functions[ast.unparse(called)]
    return {argument.arg for argument in [*arguments.args, *arguments.kwonlyargs]}


def config_ids(files: list[str]) -> set[str]:
    configs = [json.loads((ROOT / file).read_text()) for file in files]
    return {key for config in configs for key in (*config, *config.get("displayable_configs", ()))}


def commands(page: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """Every command of a page, the options it uses and those it has."""
    for module, rest in re.findall(r"\b(scripts\.(?!label_server)\w+(?:\.\w+)*)((?: +[^\n#]*)?)", code(TEXTS[page])):
        words = rest.split()
        yield module + rest, set(re.findall(r"--(\w+)", rest)), options_of(module, words[0] if words else "")
    for rest in re.findall(r"monai\.bundle run (\w[^\n#]*)", code(TEXTS[page])):
        files = re.findall(r"configs/\w+\.json", rest)
        if files:
            options = {rest.split()[0], *re.findall(r"--(\w+)", rest)} - {"config_file"}
            yield rest, options, config_ids(files)


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_command_has_the_options_it_is_called_with(page: str) -> None:
    for command, used, known in commands(page):
        assert used <= known, command


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_option_that_is_named_exists(page: str) -> None:
    known = HOST_OPTIONS | {DEBUG.removeprefix("--")}
    known |= config_ids([f"configs/{path.name}" for path in (ROOT / "configs").glob("*.json")])
    for script in (
        "apply",
        "lung_function",
        "package",
        "prepare_dirlab",
        "register",
        "register_series",
        "deploy.app",
        "cohort",
    ):
        known |= options_of(f"scripts.{script}", "")
    known |= options_of("scripts.radiotherapy", "structures") | options_of("scripts.radiotherapy", "accumulate")
    assert set(re.findall(r"`--(\w+)", TEXTS[page])) <= known


def test_the_readme_lists_all_options_of_register_and_ids_of_the_inference_config() -> None:
    parts = section(TEXTS["README.md"], "Options").split("`python -m monai.bundle run inference")
    register, inference = (set(re.findall(r"--(\w+)", " ".join(row[0] for row in table_rows(part)))) for part in parts)
    assert register == options_of("scripts.register", "")
    assert inference <= config_ids(["configs/inference.json"])
