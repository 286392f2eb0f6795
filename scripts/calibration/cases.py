"""Good pairs and deliberate failures on which the verdict is calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor

from scripts.calibration.damage import DAMAGES, Scans

# Small chests: registered with the default settings in seconds.
SMALL: dict[str, Any] = {
    "body_scale": 0.5,
    "spacing_mm": (1.25, 1.25, 1.5),
    "diaphragm_mm": (6.0, 16.0),
    "mean_mm": (4.0, 16.0),
    "shift_mm": 10.0,
}
PHANTOMS = range(1000, 1020)
ADULTS = range(1100, 1102)
BREATHS = 2  # simulated from each scan
NOISE_HU = 60.0
FAILURES_EACH = 2  # phantoms that get each damage
STRANGERS = 8  # pairs of phantoms of two patients
THICK_MM = (1.25, 1.25, 4.0)
PHASES = (
    ("20", "60"),
    ("20", "00"),
    ("60", "20"),
    ("40", "80"),
    ("00", "50"),
    ("30", "90"),
)  # of a breath, in per cent
FOLLOW_UP_DAMAGES = (
    "moving flipped left-right",
    "moving flipped head-foot",
    "moving on its side",
    "both flipped head-foot",
    "both without geometry",
    "moving upper half",
    "moving slices interleaved",
    "moving slices half as far",
)


class Case(NamedTuple):
    """A pair to register; `kind` is "good: ..." or "failure: ..."."""

    name: str
    kind: str
    scans: Callable[[], Scans]


def list_cases(data: Path | None) -> Iterator[Case]:
    """All cases; those of real scans only with the folder of such scans."""
    yield from _good_phantoms()
    yield from _bad_phantoms()
    if data is not None:
        yield from _real(data)


def _good_phantoms() -> Iterator[Case]:
    for seed in PHANTOMS:
        yield Case(f"phantom {seed}", "good: phantom", partial(phantom, seed))
    for seed in PHANTOMS[:6]:
        yield Case(f"phantom {seed} swapped", "good: exhale fixed", partial(_swapped, partial(phantom, seed)))
        yield Case(f"phantom {seed} noisy", "good: noise", partial(_noisy, seed))
        yield Case(f"phantom {seed} thick", "good: thick slices", partial(phantom, seed, THICK_MM))
        yield Case(f"phantom {seed} padded", "good: field of view padded", partial(_padded, seed))
    for seed in ADULTS:
        yield Case(f"adult phantom {seed}", "good: adult phantom", partial(phantom, seed, small=False))


def _bad_phantoms() -> Iterator[Case]:
    for number, what in enumerate(DAMAGES):
        for turn in range(FAILURES_EACH):
            seed = PHANTOMS[(number + 8 * turn) % len(PHANTOMS)]
            scans = partial(_damaged, what, seed, partial(phantom, seed))
            yield Case(f"phantom {seed}: {what}", f"failure: {what}", scans)
    for first, second in zip(PHANTOMS[:STRANGERS], PHANTOMS[STRANGERS : 2 * STRANGERS], strict=True):
        yield Case(f"phantoms {first} and {second}", "failure: different patients", partial(_strangers, first, second))


def _real(data: Path) -> Iterator[Case]:
    follow_up = partial(_read, *(data / "followup_pair" / name for name in ("fixed.mha", "moving.mha")))
    yield Case("follow-up pair", "good: follow-up", follow_up)
    yield Case("follow-up pair swapped", "good: follow-up", partial(_swapped, follow_up))
    for phases in PHASES:
        files = (data / "4dct" / f"phase{phase}.nii.gz" for phase in phases)
        yield Case(f"4DCT phases {' and '.join(phases)}", "good: 4DCT", partial(_read, *files))
    patients = {name: data / "ct" / f"{name}_1.5mm.nii.gz" for name in ("cta", "lidc_0001", "4dlung_113")}
    for name, file in patients.items():
        for seed in range(BREATHS):
            yield Case(f"breath {seed} of {name}", "good: simulated breath", partial(_breath, file, seed))
    patients |= {"4DCT": data / "4dct" / "phase20.nii.gz", "follow-up": data / "followup_pair" / "fixed.mha"}
    for first, second in pairwise([*patients, *list(patients)[:1]]):
        scans = partial(_read, patients[first], patients[second])
        yield Case(f"{first} and {second}", "failure: different patients", scans)
    for what in FOLLOW_UP_DAMAGES:
        yield Case(f"follow-up pair: {what}", f"failure: {what}", partial(_damaged, what, 0, follow_up))


@lru_cache(maxsize=2)
def phantom(seed: int, spacing_mm: tuple[float, float, float] | None = None, *, small: bool = True) -> Scans:
    """Fixed and moving scan of a phantom."""
    from bundle.synthetic.phantom import make_phantom

    arguments = SMALL if small else {}
    case = make_phantom(seed, **{**arguments, **({"spacing_mm": spacing_mm} if spacing_mm else {})})
    return (
        MetaTensor(torch.from_numpy(case.fixed)[None].float(), affine=torch.from_numpy(case.fixed_affine)),
        MetaTensor(torch.from_numpy(case.moving)[None].float(), affine=torch.from_numpy(case.moving_affine)),
    )


def _read(fixed: Path, moving: Path) -> Scans:
    from bundle.io import read_image

    return read_image(fixed), read_image(moving)


def _swapped(scans: Callable[[], Scans]) -> Scans:
    fixed, moving = scans()
    return moving, fixed


def _strangers(first: int, second: int) -> Scans:
    return phantom(first)[0], phantom(second)[1]


def _damaged(what: str, seed: int, scans: Callable[[], Scans]) -> Scans:
    return DAMAGES[what](*scans(), np.random.default_rng(seed))


def _breath(scan: Path, seed: int) -> Scans:
    from bundle.synthetic.breath import RandSimulateMotiond
    from bundle.synthetic.breath.dataset import read_with_lungs

    image, mask = read_with_lungs(scan)
    simulate = RandSimulateMotiond("scan")
    simulate.set_random_state(seed=100 + seed)
    pair = simulate({"scan": image, "scan_mask": mask})
    return pair["fixed"], pair["moving"]


def _noisy(seed: int) -> Scans:
    generator = torch.Generator().manual_seed(seed)
    fixed, moving = (
        MetaTensor(scan.as_tensor() + NOISE_HU * torch.randn(scan.shape, generator=generator), affine=scan.affine)
        for scan in phantom(seed)
    )
    return fixed, moving


def _padded(seed: int) -> Scans:
    """Outside of the round field of view at -2000, as scanners set it."""
    padded = []
    for scan in phantom(seed):
        x, y = (torch.linspace(-1, 1, side) for side in scan.shape[1:3])
        outside = x[:, None] ** 2 + y[None] ** 2 > 1
        voxels = scan.as_tensor().clone()
        voxels[:, outside] = -2000.0
        padded.append(MetaTensor(voxels, affine=scan.affine))
    return padded[0], padded[1]
