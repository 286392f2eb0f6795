"""The rules of the code that are tests: a twin for every module, short files, imports that point one way."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(ROOT) for folder in ("bundle", "scripts") for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 250

# What each part may import besides itself, in the order of the design: a part sees only those above it.
FOUNDATION = {"geometry", "resample", "processors", "memory", "voxel_size"}
ALLOWED = {
    "geometry": set(),
    "resample": {"geometry"},
    "refusals": set(),
    "memory": set(),
    "processors": set(),  # without torch: it must load later
    "voxel_size": set(),
    "formats": set(),  # without torch or ITK
    "io": FOUNDATION | {"formats"},
    "losses": FOUNDATION,  # a loss never builds a network
    "networks": FOUNDATION,  # a network never reads a file
    "metrics": FOUNDATION | {"losses"},
    "transforms": FOUNDATION | {"io", "losses", "metrics"},
    "inferers": FOUNDATION | {"losses", "networks", "transforms"},
    "data": FOUNDATION | {"refusals", "formats", "io", "transforms", "plausibility", "lung"},
    "plausibility": FOUNDATION | {"io"},
    "lung": FOUNDATION | {"io", "metrics", "transforms"},
    "quality": FOUNDATION | {"refusals", "io", "metrics", "transforms", "data", "lung"},
    "reports": FOUNDATION | {"io", "losses", "metrics", "transforms", "data", "quality"},
    "function": FOUNDATION | {"io", "transforms", "data", "plausibility", "lung", "reports"},
    "synthetic": FOUNDATION | {"io", "losses", "metrics", "transforms", "data", "lung", "reports"},
    "handlers": FOUNDATION | {"io", "losses", "metrics", "networks", "data", "reports"},
    "hosts": FOUNDATION | {"refusals", "formats", "io", "metrics", "transforms", "inferers", "data", "lung", "reports"},
    "radiotherapy": FOUNDATION | {"formats", "io", "data", "apply"},
    "apply": FOUNDATION | {"io", "transforms"},
    "series": FOUNDATION
    | {"refusals", "formats", "io", "transforms", "data", "plausibility", "lung", "reports", "register"},
    "cohort": FOUNDATION | {"refusals", "formats", "io", "data", "lung", "quality", "reports", "series"},
    "register": FOUNDATION | {"refusals", "io", "transforms", "data", "reports", "apply"},
}
ALLOWED["scripts"] = set(ALLOWED)
MAX_MODULES = 13  # of a folder, its __init__.py counted
MAX_COMMANDS = 18  # of scripts/: one module for each command, whose name users type; the 18th is cohort


def part_of(module: str) -> str:
    """`bundle.io.images` is of the part `io`, `scripts.register` of `scripts`."""
    names = module.split(".")
    return names[0] if names[0] == "scripts" else names[1]


def imports_of(path: Path) -> set[str]:
    """Our own modules that a file imports, anywhere in it."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parts[: len(path.parts) - node.level]) + "." if node.level else ""
            module = (package + (node.module or "")).rstrip(".")
            imported |= {f"{module}.{alias.name}" for alias in node.names} if module == "bundle" else {module}
    ours = {module for module in imported if module.split(".")[0] in ("bundle", "scripts", "tests")}
    return ours - {"bundle.__version__"}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_has_its_twin_among_the_tests(path: Path) -> None:
    if path.name == "__init__.py":
        pytest.skip("lists names only, see test_packages_hold_imports_only")
    parts = path.parts[1:] if path.parts[0] == "bundle" else path.parts
    twin = Path("tests", *parts[:-1], f"test_{path.name}")
    assert (ROOT / twin).is_file(), f"{path} needs {twin}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_files_are_short(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) < MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if module == "bundle":
        assert imports_of(path) == {"bundle.processors", "bundle.register"}, "the door to Python, opened on first use"
        return
    part = part_of(module)
    for imported in imports_of(path):
        assert imported.split(".")[0] != "tests", f"{path} imports {imported}"
        allowed = ALLOWED[part] | {part}
        assert part_of(imported) in allowed, f"{path} imports {imported}; {part} may import {sorted(allowed)}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=str)
def test_folders_are_small(folder: Path) -> None:
    limit = MAX_COMMANDS if folder == Path("scripts") else MAX_MODULES
    assert len(list((ROOT / folder).glob("*.py"))) <= limit


def test_the_allowed_imports_go_in_no_circle() -> None:
    order = list(TopologicalSorter(ALLOWED).static_order())
    assert order[0] == "geometry"
    assert order[-1] == "scripts"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name == "__init__.py" and path.parent.name != "bundle"], ids=str
)
def test_packages_hold_imports_only(path: Path) -> None:
    body = ast.parse((ROOT / path).read_text()).body
    for node in body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_all = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        assert is_docstring or is_all or isinstance(node, ast.ImportFrom), f"{path}, line {node.lineno}"
    listed = [ast.literal_eval(node.value) for node in body if isinstance(node, ast.Assign)]
    imported = [alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    if imported:
        assert sorted(listed[0]) == sorted(imported)


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "bundle"], ids=str)
def test_the_library_does_not_print(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        called = node.func if isinstance(node, ast.Call) else None
        assert not (isinstance(called, ast.Name) and called.id == "print"), f"{path}, line {node.lineno}"
