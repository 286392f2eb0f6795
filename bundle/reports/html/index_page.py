"""`index.html` of many result folders, the worst first."""

from __future__ import annotations

import base64
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from PIL import Image

from bundle.data.pairs_to_register import REPORT
from bundle.io.atomic import atomic_path, check_writable
from bundle.reports.html.page import ASSETS, PAGE

INDEX = "index.html"
ORDER = ("failed", "incomplete", "check", "ok")
THUMBNAIL = (150, 150)  # pixels
COLUMNS = {  # heading: where the number is in the report, and its format
    "TRE, mm": (("scores", "tre_mm"), "{:.2f}"),
    "TRE before, mm": (("scores", "tre_aligned_mm"), "{:.2f}"),
    "vessel residual, mm": (("evidence", "vessel_residual_mm"), "{:.1f}"),
    "LNCC": (("lncc", "registered"), "{:.3f}"),
    "LNCC before": (("lncc", "aligned"), "{:.3f}"),
    "folding, %": (("scores", "folding_percent"), "{:.3g}"),
    "time, s": (("scores", "time_s"), "{:.1f}"),
}


class Entry(NamedTuple):
    """A row of the index."""

    folder: Path
    verdict: str
    reasons: Sequence[str]
    report: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the pair, as a rule of its fixed scan, so that several may have one."""
        return str(self.report.get("name", self.folder.name))


def write_index(folder: str | Path, missing: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Write `index.html` of the result folders in a folder, and return its path; verdicts sorted as in `ORDER`.

    Folders without a complete report are listed as incomplete, with the reason.

    Args:
        missing: reasons of pairs that have no folder, by name; listed as incomplete.
    Raises: FileNotFoundError, ValueError if there is no such folder, or no result folder in it and none is missing;
        PermissionError.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder (expected one with a result folder for each pair)")
    check_writable(place)
    entries = [_entry(path) for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if not missing and all(entry.verdict == "incomplete" for entry in entries):
        kind = "is the result folder of one pair" if (place / REPORT).is_file() else f"holds no folder with a {REPORT}"
        raise ValueError(f"{folder}: expected a folder with a result folder for each pair; this one {kind}")
    entries += [Entry(place / name, "incomplete", [reason], {}) for name, reason in sorted(missing.items())]
    entries.sort(key=lambda entry: ORDER.index(entry.verdict))
    names = Counter(entry.name for entry in entries)
    counts = {verdict: sum(entry.verdict == verdict for entry in entries) for verdict in ORDER}
    text = Template((ASSETS / "index.html").read_text(encoding="utf-8")).substitute(
        title=escape(place.absolute().name),
        summary=", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count),
        headings="".join(_heading(name) for name in ("pair", "verdict", *COLUMNS)),
        rows="\n".join(_row(entry, show_folder=names[entry.name] > 1) for entry in entries),
        css=(ASSETS / "report.css").read_text(encoding="utf-8"),
        js=(ASSETS / "index.js").read_text(encoding="utf-8"),
    )
    with atomic_path(place / INDEX) as path:
        path.write_text(text, encoding="utf-8", errors="replace")  # names of files may hold other bytes
    return place / INDEX


def _entry(folder: Path) -> Entry:
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return Entry(
            folder, ORDER[ORDER.index(report["verdict"])], [str(reason) for reason in report["reasons"]], report
        )
    except FileNotFoundError:
        reason = f"no {REPORT}: unfinished, or not the result of a registration"
    except (OSError, ValueError, KeyError, TypeError):
        reason = f"{REPORT} cannot be read as the report of a registration"
    return Entry(folder, "incomplete", [reason], {})


def _heading(name: str) -> str:
    return f'<th scope="col" aria-sort="none"><button type="button">{escape(name)}</button></th>'


def _row(entry: Entry, *, show_folder: bool) -> str:
    name = escape(entry.name)
    page = next((file for file in (PAGE, "overview.png") if (entry.folder / file).is_file()), None)
    link = name if page is None else f'<a href="{quote(os.fsencode(entry.folder.name))}/{page}">{name}</a>'
    if show_folder:
        link += f"<small>{escape(entry.folder.name)}</small>"
    cells = "".join(_cell(entry.report, *column) for column in COLUMNS.values())
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in entry.reasons)
    return (
        f'<tr><td>{_thumbnail(entry.folder / "overview.png")}</td><th scope="row" data-value="{name}">{link}</th>'
        f'<td class="state {entry.verdict}" data-value="{ORDER.index(entry.verdict)}">{entry.verdict}</td>{cells}'
        f"<td><ul>{reasons}</ul></td></tr>"
    )


def _cell(report: Mapping[str, Any], place: tuple[str, str], form: str) -> str:
    part = report.get(place[0])
    value = part.get(place[1]) if isinstance(part, dict) else None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return '<td class="number" data-value="">–</td>'
    return f'<td class="number" data-value="{value}">{form.format(value)}</td>'


def _thumbnail(picture: Path) -> str:
    """An overview as a small picture in the page; nothing if it is missing or damaged."""
    try:
        with Image.open(picture) as image:
            small = image.convert("RGB")
    except OSError:
        return ""
    small.thumbnail(THUMBNAIL)
    file = BytesIO()
    small.save(file, "jpeg", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getbuffer()).decode("ascii")}">'
