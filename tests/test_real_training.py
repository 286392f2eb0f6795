"""A training on real CT: a gated 4DCT."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "4dct"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="real scans are absent: training on a 4DCT stays unchecked"),
]


def test_training_on_phases_of_a_4dct_improves_the_correlation_of_a_phase_it_has_not_seen(tmp_path: Path) -> None:
    def item(moving: int) -> dict[str, str]:
        scans = {key: str(DATA / f"phase{phase:02d}.nii.gz") for key, phase in (("fixed", 20), ("moving", moving))}
        return {"name": f"phase{moving}", **scans}

    pairs = {"training": [item(phase) for phase in (0, 10, 40, 50, 70, 80, 90)], "validation": [item(60)]}
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "train.json")
    parser.update(
        {
            "dataset_dir": str(tmp_path),
            "output_dir": str(tmp_path / "out"),
            "spatial_size": [48, 48, 48],
            "max_epochs": 4,
            "val_interval": 4,
            "num_workers": 1,
        }
    )
    parser.get_parsed_content("initialize")
    evaluator = parser.get_parsed_content("validate#evaluator")
    early_stop = parser.get_parsed_content("validate#early_stop")
    trainer = parser.get_parsed_content("train#trainer")
    early_stop.set_trainer(trainer)
    evaluator.run()
    before = float(evaluator.state.metrics["lncc"])
    trainer.run()
    assert float(evaluator.state.metrics["lncc"]) > before + 0.01
