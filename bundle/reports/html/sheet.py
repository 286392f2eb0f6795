"""The quality sheet as a section of `report.html`, which can be replaced when contours are measured later."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from bundle.quality import items_of
from bundle.reports.html.section import QUALITY_SHEET, check_section, replace_section

STATE_CLASSES = {"pass": "pass", "fail": "fail"}


def sheet_section(sheet: Mapping[str, Any]) -> str:
    """A quality sheet (`bundle.quality.quality_sheet`) as HTML, with lines for a reader to sign on paper."""
    items = items_of(dict(sheet))
    counts = {result: sum(item["result"] == result for item in items) for result in ("pass", "fail", "not measured")}
    voxels = "; ".join(
        f"{key} {' × '.join(f'{size:g}' for size in sizes)} mm" for key, sizes in sheet["voxel_mm"].items()
    )
    rows = "\n".join(map(_row, items))
    return f"""<section class="quality" aria-labelledby="quality">
<h2 id="quality">Quality sheet after AAPM TG-132</h2>
<p>{escape(sheet["name"])}: <b>{counts["pass"]} passed, {counts["fail"]} failed, {counts["not measured"]} not
measured</b>. Voxel sizes: {escape(voxels)}.</p>
<table>
<thead><tr><th scope="col">quantity</th><th scope="col">of</th><th scope="col">value</th><th scope="col">tolerance</th>
<th scope="col">result</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p class="note">Limits of the TRE: {escape(sheet["source"])}, for radiotherapy. The other limits are set after that
report and not quoted from it; where they name the voxel size, the largest of both scans counts, but between 2 and 3 mm.
None is set for the Hausdorff distance and the largest Jacobian. Contours are measured by
<code>python -m scripts.quality</code>. The numbers are in quality.json.</p>
<div class="sign"><div>name of the reader</div><div>initials</div><div>date</div>
<div class="comments">comments</div><div class="comments"></div></div>
</section>"""


def replace_sheet(page: Path, sheet: Mapping[str, Any]) -> None:
    """Replace the quality sheet in a `report.html`, atomically.

    Raises: ValueError if the page has no place for one.
    """
    check_section(page, QUALITY_SHEET)
    replace_section(page, QUALITY_SHEET, sheet_section(sheet))


def _row(item: Mapping[str, Any]) -> str:
    value = "–" if item["value"] is None else f"{item['value']:.4g} {item['unit']}".strip()
    return (
        f'<tr><th scope="row">{escape(item["quantity"])}</th><td>{escape(item["of"])}</td>'
        f'<td class="number">{escape(value)}</td><td>{escape(item["tolerance"]) or "none"}</td>'
        f'<td class="state {STATE_CLASSES.get(item["result"], "none")}">{escape(item["result"])}</td></tr>'
    )
