"""Broken landmark files, pairs files and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.broken.case import Collection

RECIPE = Path(__file__).parents[2] / "models" / "model.json"
POINT = {"id": "1", "label": "1", "position": [1.0, 2.0, 3.0], "positionStatus": "defined"}
LANDMARKS: dict[str, list[str]] = {
    "points.txt": [
        "",
        "\n\n",
        "these are words\n",
        "1 2\n",
        "1 2 3\n4 5\n",
        "1 2 3\n4 5 six\n",
        "1 2 nan\n",
        "1 2 inf\n",
        "900 900 900\n",
        "1e300 1 1\n",
        "point\n",
        "point\nmany\n1 2 3\n",
        "point\n3\n1 2 3\n",
        "point\n-1\n1 2 3\n",
        "index\n1\n99 99 99\n",
        "point\n1\n1 2\n",
        "point\n99999999999999999999\n1 2 3\n",
    ],
    "points.csv": [
        "",
        "x,y,z\n",
        "x,y\n1,2\n",
        "a,b,c\n1,2,3\n",
        "x,y,z\n1,2\n",
        "x,y,z\n1,2,three\n",
        "x,y,z\n1,2,nan\n",
        "x,y,z\n1e9,2,3\n",
        'x,y,z\n"1,2,3\n',
        "x;y;z\n1;2;3\n4;5;\n",
        "x,x,z\n1,2,3\n",
    ],
    "points.fcsv": [
        "",
        "# CoordinateSystem = XYZ\n1,1,2,3\n",
        "# CoordinateSystem = LPS\n",
        "# CoordinateSystem = LPS\n1,1,2\n",
        "# CoordinateSystem = LPS\n1,a,b,c\n",
        "# CoordinateSystem = LPS\n1,9999,0,0\n",
    ],
    "points.mrk.json": [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"text"',
        "{}",
        '{"markups": 3}',
        '{"markups": []}',
        '{"markups": [3]}',
        '{"markups": {"controlPoints": []}}',
        '{"markups": [{"controlPoints": []}]}',
        '{"markups": [{"controlPoints": [3]}]}',
        '{"markups": [{"controlPoints": "abc"}]}',
        '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}',
        '{"markups": [{"controlPoints": [{"position": ["a", 2, 3]}]}]}',
        '{"markups": [{"controlPoints": [{"position": {"x": 1}}]}]}',
        '{"markups": [{"controlPoints": [{"position": [1, 2, NaN]}]}]}',
        json.dumps({"markups": [{"coordinateSystem": "XYZ", "controlPoints": [POINT]}]}),
        json.dumps({"markups": [{"coordinateSystem": 7, "controlPoints": [POINT]}]}),
        json.dumps({"markups": [{"controlPoints": [{**POINT, "position": [9e9, 2, 3]}]}]}),
        json.dumps({"markups": [{"coordinateUnits": "furlong", "controlPoints": [POINT]}]}),
        "[" * 100_000,
    ],
}
PAIRS: list[Any] = [
    "",
    "{",
    "[" * 100_000,
    [],
    3,
    None,
    {},
    {"training": 3},
    {"training": {"name": "a"}},
    {"training": "abc"},
    {"training": [3]},
    {"training": [[]]},
    {"training": [{}]},
    {"training": [{"name": "a"}]},
    {"training": [{"name": "a", "fixed": "x"}]},
    {"training": [{"name": "a", "fixed": 3, "moving": 4}]},
    {"training": [{"name": 3, "fixed": "x", "moving": "x"}]},
    {"training": [{"name": "", "fixed": "x", "moving": "x"}]},
    {"training": [{"name": "a/b", "fixed": "x", "moving": "x"}]},
    {"training": [{"name": "..", "fixed": "x", "moving": "x"}]},
    {"training": [{"name": "a", "fixed": "x", "moving": "x", "colour": "red"}]},
    {"training": [{"name": "a", "fixed": "x\u0000y", "moving": "x"}]},
    {"training": [{"name": "a", "fixed": "pairs.json", "moving": "none.nii.gz"}]},
    {"training": [{"name": "a", "fixed": "pairs.json", "moving": "pairs.json"}] * 2},
]
BAD_RECIPE: dict[str, list[Any]] = {
    "network": [
        None,
        3,
        [],
        {},
        {"_target_": "os.system", "command": "true"},
        {"_target_": "bundle.networks.None"},
        {"_target_": "bundle.networks.RRN", "colour": "red"},
        {"_target_": "bundle.networks.RRN", "num_levels": "x"},
    ],
    "network_spacing_mm": ["wide", -1, 0, [1, 2, 3]],
    "spatial_size": ["large", [1, 2], [0, 0, 0], 3],
    "margin_mm": ["wide", None],
    "alignment": ["sideways", 3],
    "window_hu": [None, {}, {"low": 1}, {"low": "a", "high": "b"}, {"low": 5, "high": 5}],
    "training": [None, [], {"pairs": 3}, {"pairs": [3]}],
    "weights_sha256": [None, 3],
}


def add_tables(to: Collection) -> None:
    """Text where numbers are expected, JSON of the wrong shape, other encodings."""
    for file, contents in LANDMARKS.items():
        for number, content in enumerate(contents):
            to.add(f"{file} {number}: {content[:60]!r}", "landmarks", file, content)
        to.add(f"{file} of bytes", "landmarks", file, bytes(range(256)) * 4)
        to.add(f"{file} of zeros", "landmarks", file, bytes(100))
    to.add("landmarks of an unknown kind", "landmarks", "points.xml", "<points/>")
    to.add_path("landmarks that are a folder", "landmarks", to.folder)
    for number, pairs in enumerate(PAIRS):
        text = pairs if isinstance(pairs, str) else json.dumps(pairs)
        to.add(f"pairs {number}: {text[:60]}", "pairs", "pairs.json", text, mentions="")
    to.add("pairs of bytes", "pairs", "pairs.json", bytes(range(256)))
    to.add_path("no pairs", "pairs", to.folder / "none")
    recipe = json.loads(RECIPE.read_text())
    for text in ("", "{", "[]", "3", "null", "{}", "[" * 100_000):
        to.add(f"recipe {text[:10]!r}", "recipe", "model.json", text)
    for field in recipe:
        left = {key: value for key, value in recipe.items() if key != field}
        to.add(f"recipe without {field}", "recipe", "model.json", json.dumps(left))
    for field, values in BAD_RECIPE.items():
        for value in values:
            to.add(f"recipe {field} {value!r}", "recipe", "model.json", json.dumps({**recipe, field: value}))
    to.add("recipe with another field", "recipe", "model.json", json.dumps({**recipe, "colour": "red"}))
    to.add("recipe of bytes", "recipe", "model.json", bytes(range(256)))
    to.add_path("no recipe", "recipe", to.folder / "none.pt")
