"""Register two DICOM series with MONAI Deploy (docs/hosts.md)."""

from __future__ import annotations

from pathlib import Path

from scripts.cli import run


def main(
    input: str,
    output_dir: str,
    fixed_series: str = "insp|inhal",
    moving_series: str = "exp|exhal",
    model: str | None = None,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    spacing_mm: float | None = None,
) -> None:
    """Warp the moving DICOM series in INPUT to the fixed one and write DICOM, NIfTI and a report to OUTPUT_DIR.

    The exit code is 3 if the verdict on the result is "failed".

    Args:
        input: folder with both series, in subfolders or mixed.
        output_dir: folder for the results, empty or missing.
        fixed_series: series whose grid carries the results: its SeriesInstanceUID, or a regular expression that occurs
            in its SeriesDescription, in any case; "#" and a name choose one of its phases: "UID#30".
        moving_series: series that is warped, given in the same way.
        model: TorchScript file `model.ts` of the bundle, with its recipe `model.json` beside it; by default the
            bundle's own folder is used.
        refine: instance optimisation: "field" (default), "network" or "none", see scripts.register.
        refine_budget_s: time limit of the instance optimisation, seconds; none by default.
        spacing_mm: voxel size of the grid that carries the field, 0.5 to 10 mm; 1.5 by default.
    """
    folder = Path(output_dir)
    if not Path(input).is_dir():
        raise FileNotFoundError(f"{input}: no such folder")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{output_dir}: expected an empty folder for the results")
    from bundle.hosts.deploy.source import find_pair
    from bundle.voxel_size import check_voxel_mm

    check_voxel_mm("--spacing_mm", spacing_mm)
    pair = find_pair(Path(input), {"fixed": fixed_series, "moving": moving_series})  # before the SDK takes its seconds
    from bundle.hosts.deploy.application import RegistrationApp
    from bundle.quality import write_verdicts
    from bundle.refusals import FAILED

    folder.mkdir(parents=True, exist_ok=True)
    options = {"refine": refine, "refine_budget_s": refine_budget_s, "spacing_mm": spacing_mm}
    RegistrationApp(
        Path(input),
        folder,
        model=model,
        pair=pair,
        overrides={name: value for name, value in options.items() if value is not None},
    ).run()
    if write_verdicts([{"output_dir": output_dir}], output_dir):
        raise SystemExit(FAILED)


if __name__ == "__main__":
    run(
        main,
        old_names={"output": "output_dir", "out": "output_dir", "fixed": "fixed_series", "moving": "moving_series"},
    )
