"""`report.html` of a registered pair: one file without links, for a reader who has to decide whether to believe it."""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import torch
from isal import igzip
from PIL import Image
from torch import Tensor

from bundle.geometry import spacing_mm
from bundle.io.atomic import atomic_path
from bundle.quality import QUALITY, Residuals, quality_sheet
from bundle.reports.html.charts import error_chart
from bundle.reports.html.command import command_of
from bundle.reports.html.figures import Figure, figures
from bundle.reports.html.lung_function import function_section
from bundle.reports.html.sheet import sheet_section
from bundle.reports.html.viewer_data import viewer_data
from bundle.reports.html.volumes import ReportVolumes, report_volumes

PAGE = "report.html"
ASSETS = Path(__file__).parent / "assets"
JPEG_QUALITY = 85
MARKS = {"ok": "✓", "check": "!", "failed": "✕"}
HEADLINES = {
    "ok": "Nothing speaks against this registration",
    "check": "Look at this registration before you use it",
    "failed": "This registration failed: do not use it",
}
CAUTION = (
    "The verdict tells a registration that worked from one that did not. It does not measure accuracy: only landmarks "
    "or contours do, and a registration without a complaint can still be wrong by millimetres."
)
STATE_CLASSES = {"not measured": "none", "for information": "none"}
Pair = Mapping[Hashable, Any]


def write_report_page(pair: Pair, folder: Path, report: Mapping[str, Any]) -> None:
    """Write `quality.json` and `report.html` of a registered pair to its folder, which holds `overview.png`.

    Maps of lung function in the folder become a section of the page.

    Args:
        pair: see `bundle.data.Pair`, after `AssessRegistrationd`.
        report: its `registration_report`.
    """
    residuals: Residuals | None = pair.get("residuals")
    sheet = quality_sheet(
        report,
        voxel_mm={key: spacing_mm(torch.as_tensor(pair[key].affine)).tolist() for key in ("fixed", "moving")},
        jacobian=_jacobian_in_lungs(pair),
        inverse_mm=None if residuals is None else residuals.inverse_mm,
    )
    with atomic_path(folder / QUALITY) as path:
        path.write_text(json.dumps(sheet, indent=2) + "\n")
    charts, overview = error_chart(pair, residuals), folder / "overview.png"
    text = report_page(report, sheet, report_volumes(pair), charts, overview, function_section(folder))
    with atomic_path(folder / PAGE) as path:
        path.write_text(text, encoding="utf-8", errors="replace")  # paths may hold other bytes


def report_page(
    report: Mapping[str, Any],
    sheet: Mapping[str, Any],
    volumes: ReportVolumes,
    charts: str,
    overview: Path,
    lung_function: str = "",
) -> str:
    """The page as HTML.

    Args:
        report, sheet: contents of report.json and quality.json.
        charts: HTML of the histograms.
        overview: PNG for prints and for browsers without scripts.
        lung_function: section of its maps as HTML; empty without maps.
    """
    rows = figures(report)
    voxel_mm = spacing_mm(volumes.affine)
    return Template((ASSETS / "report.html").read_text(encoding="utf-8")).substitute(
        name=escape(report["name"]),
        verdict=escape(report["verdict"]),
        fixed=escape(report["fixed"]),
        moving=escape(report["moving"]),
        mark=MARKS[report["verdict"]],
        headline=HEADLINES[report["verdict"]],
        reasons=_list([*report["reasons"], *(note for note in report["warnings"] if note not in report["reasons"])]),
        cards=_cards(report),
        caution=CAUTION,
        voxel=" × ".join(f"{size:.2g}" for size in voxel_mm.tolist()),
        overview=f"data:image/jpeg;base64,{_jpeg(overview)}",
        charts=charts,
        figures="\n".join(map(_row, rows)),
        quality=sheet_section(sheet),
        lung_function=lung_function,
        repeat=_repeat(report),
        settings=_settings(report),
        data=_json(viewer_data(volumes)),
        volumes="\n".join(
            f'<script type="application/octet-stream" id="volume-{name}">{volume.as_base64(volumes.affine)}</script>'
            for name, volume in volumes.volumes.items()
        ),
        niivue=_niivue(),
        css=(ASSETS / "report.css").read_text(encoding="utf-8"),
        js=(ASSETS / "report.js").read_text(encoding="utf-8"),
    )


def _jacobian_in_lungs(pair: Pair) -> Tensor:
    """Determinant (N,) of the whole transform in the fixed lungs, as `ScoreRegistrationd` counts folding."""
    mask_net = torch.as_tensor(pair["mask_net"]).cpu()
    scaling = float(torch.linalg.det(pair["initial_affine"].double()))
    return scaling * torch.as_tensor(pair["jacobian_net"]).cpu()[mask_net > 0.5 * mask_net.max()]


def _cards(report: Mapping[str, Any]) -> str:
    scores, evidence, lncc = report["scores"], report["evidence"], report["lncc"]
    cards = []
    if scores["tre_mm"] is not None:
        cards.append(("TRE, mean", f"{scores['tre_mm']:.2f} mm", f"{scores['tre_aligned_mm']:.2f} mm before"))
    if evidence["vessel_residual_mm"] is not None:
        cards.append(("vessel residual", f"{evidence['vessel_residual_mm']:.1f} mm", "three quarters are nearer"))
    if evidence["vessels_matched"] is not None:
        cards.append(("vessels matched", f"{evidence['vessels_matched']:.0%}", "within 4 mm"))
    cards.append(("LNCC", f"{lncc['registered']:.2f}", f"{lncc['aligned']:.2f} before"))
    cards.append(("folding", f"{scores['folding_percent']:.3g} %", "of the lungs"))
    if evidence["inverse_consistency_mm"] is not None:
        cards.append(("inverse consistency", f"{evidence['inverse_consistency_mm']:.2f} mm", "95th percentile"))
    return "\n".join(f"<div><dt>{a}</dt><dd>{b}<small>{c}</small></dd></div>" for a, b, c in cards)


def _row(figure: Figure) -> str:
    state = STATE_CLASSES.get(figure.state, figure.state)
    return (
        f'<tr><th scope="row">{escape(figure.label)}</th><td class="number">{escape(figure.value)}</td>'
        f'<td class="number">{escape(figure.good)}</td><td class="state {state}">{figure.state}</td>'
        f"<td>{escape(figure.meaning)}</td></tr>"
    )


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _repeat(report: Mapping[str, Any]) -> str:
    command = command_of(report)
    if command is None:
        return "<p>The scans were arrays in memory: <code>bundle.register_pair</code> repeats it.</p>"
    return f"<pre>{escape(command)}</pre>"


def _settings(report: Mapping[str, Any]) -> str:
    """Two columns: settings, hashes and versions."""
    rows: dict[str, Any] = {
        **{f"SHA-256 of the {key} scan (HU)": value for key, value in report["sha256"].items()},
        **{f"DICOM series of {key}": value for key, value in report["dicom_series"].items() if value},
        "weights": f"{report['weights']['file']}, SHA-256 {report['weights']['sha256']}",
        "weights trained on this pair": report["weights"]["trained_on_this_pair"],
        "voxels of the field, mm": " × ".join(f"{size:g}" for size in report["grid_spacing_mm"]),
        "initial affine, RAS mm": "; ".join(
            " ".join(f"{x:.5g}" for x in row) for row in report["initial_affine_ras_mm"]
        ),
        **report["settings"],
        "seconds by step": ", ".join(f"{step} {value:.1f}" for step, value in report["seconds_by_step"].items()),
        "versions": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in rows.items()}
    cells = (f'<tr><th scope="row">{escape(key)}</th><td>{escape(text)}</td></tr>' for key, text in texts.items())
    return f'<table class="settings"><tbody>{"".join(cells)}</tbody></table>'


@cache
def _niivue() -> str:
    return base64.b64encode(igzip.compress((ASSETS / "niivue.min.js").read_bytes(), mtime=0)).decode("ascii")


def _jpeg(picture: Path) -> str:
    """A picture as JPEG in base64: a tenth of a PNG of CT scans."""
    file = BytesIO()
    Image.open(picture).convert("RGB").save(file, "jpeg", quality=JPEG_QUALITY)
    return base64.b64encode(file.getbuffer()).decode("ascii")


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value).replace("<", "\\u003c")
