"""Lung function as a section of `report.html`, which is replaced when maps are computed later."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from bundle.data.function_report import FUNCTION_FOLDER, FUNCTION_TABLE, Figure, function_figures, function_report
from bundle.reports.html.section import LUNG_FUNCTION, replace_section

REGIONS = ("both lungs", "right lung", "left lung")
NUMBERS = ("total", "mean", "sd", "median", "p5", "p95", "low_percent", "high_percent")
HEADINGS = ("region", "quantity", "unit", "total", "mean", "SD", "median", "5 %", "95 %", "low, %", "high, %")


def function_section(folder: Path) -> str:
    """Maps, numbers and warnings of lung function in a result folder as HTML; empty if it holds none."""
    report = function_report(folder)
    if report is None:
        return ""
    summary, *maps = map(_figure, function_figures(folder))
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in report["warnings"])
    return f"""<section class="function" aria-labelledby="function">
<h2 id="function">Lung function</h2>
<p>{escape(_words(report))}</p>
{f"<ul>{warnings}</ul>" if warnings else ""}
{summary}
<details>
<summary>Each map in three planes</summary>
{"".join(maps)}
</details>
<details>
<summary>Numbers</summary>
<table>
<thead><tr>{"".join(f'<th scope="col">{heading}</th>' for heading in HEADINGS)}</tr></thead>
<tbody>
{"".join(_rows(folder / FUNCTION_FOLDER / FUNCTION_TABLE))}
</tbody>
</table>
</details>
<p class="note">Mean, SD and percentiles are weighted by volume; low and high: share of the volume
{escape(report["low_and_high"])}. Formulas, sources and limits: docs/lung_function.md of the bundle. Lobes and thirds:
{FUNCTION_FOLDER}/{FUNCTION_TABLE}.</p>
</section>"""


def replace_function(folder: Path, page: Path) -> None:
    """Replace the section of lung function in a `report.html` by that of a result folder, atomically.

    Raises: ValueError if the page has no place for one.
    """
    replace_section(page, LUNG_FUNCTION, function_section(folder))


def _words(report: Mapping[str, Any]) -> str:
    exhale, volumes, mass = report["exhale"], report["volumes"], report["mass"]
    return (
        f"Exhale is the {exhale['scan']} scan: {exhale['reason']}. All maps: {report['direction']}, on the grid of the "
        f"fixed scan. Smoothing: {report['smoothing']}. Lung volume from exhale to inhale: "
        f"{100 * volumes['change_of_field']:+.1f} % by the field, {100 * volumes['change_of_masks']:+.1f} % by the "
        f"masks. Lung mass: {mass['inhale_g']:.0f} g at inhale, {mass['exhale_g']:.0f} g at exhale."
    )


def _figure(figure: Figure) -> str:
    title, picture = escape(figure.title), base64.b64encode(figure.path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{title}" src="data:image/png;base64,{picture}">'
        f"<figcaption><b>{title}</b>: {escape(figure.caption)}</figcaption></figure>"
    )


def _rows(table: Path) -> Iterator[str]:
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["region"] in REGIONS:
                texts = (f"<td>{escape(row[key])}</td>" for key in ("region", "map", "unit"))
                numbers = (f'<td class="number">{_short(row[key])}</td>' for key in NUMBERS)
                yield f"<tr>{''.join(texts)}{''.join(numbers)}</tr>\n"


def _short(number: str) -> str:
    return f"{float(number):.4g}" if number else ""
