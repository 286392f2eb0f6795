from __future__ import annotations

import json
from typing import Any

import pytest

from bundle.hosts.label.options import check_options

CHOICES = {"device": ["cpu", "cuda:0"], "model_filename": ["model.pt"]}


def test_what_slicer_sends_is_accepted_and_null_is_left_out() -> None:
    """All options it is told of with their defaults, its client's id, and the format it wants."""
    sent = {"device": "cpu", "model_filename": "model.pt", "moving": "exhale", "refine": "field", "spacing_mm": 1.5}
    sent |= {"client_id": "user-xyz", "result_extension": ".nrrd", "result_dtype": "uint8"}
    assert check_options({**sent, "fixed_mask": None}, CHOICES) == sent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('{"bogus": 1}', "'bogus': unknown option; expected one of client_id, device, fixed_landmarks, .*spacing_mm"),
        ('{"image": "/etc/passwd"}', "'image': unknown option"),
        ('{"label": "/etc/passwd"}', "'label': unknown option"),
        ('{"label_tag": "../x", "save_label": true}', "'label_tag': unknown option"),
        ("[1]", r"params: expected a JSON object of options, got \[1\]"),
        ('{"moving": 5}', "moving: expected a text, got 5"),
        ('{"moving": ["a"]}', r"moving: expected a text, got \['a'\]"),
        ('{"moving": "a\\u0000b"}', "moving: expected a text without null characters"),
        (r'{"moving": "\ud800"}', "moving: expected a text of whole characters"),
        ('{"moving": "$__import__(\'os\')"}', r"moving: expected a text that does not begin with \$, @, %"),
        ('{"fixed_series": "%a.json#x"}', "fixed_series: expected a text that does not begin"),
        ('{"refine": "$1"}', r"refine: expected one of none, field, network, got '\$1'"),
        ('{"refine": ["none"]}', r"refine: expected one of none, field, network, got \['none'\]"),
        ('{"spacing_mm": "1.5"}', "spacing_mm: expected 0.5 to 10 mm, got '1.5'"),
        ('{"spacing_mm": true}', "spacing_mm: expected 0"),
        ('{"spacing_mm": 0}', "spacing_mm: expected 0"),
        ('{"spacing_mm": -1e-9}', "spacing_mm: expected 0"),
        ('{"spacing_mm": NaN}', "spacing_mm: expected 0.* got nan"),
        ('{"spacing_mm": Infinity}', "spacing_mm: expected 0.* got inf"),
        ('{"spacing_mm": 0.01}', "spacing_mm: expected 0"),
        ('{"spacing_mm": 20.5}', "spacing_mm: expected 0"),
        ('{"spacing_mm": 10.5}', "spacing_mm: expected 0"),
        ('{"landmark_system": "mni"}', "landmark_system: expected one of .*, got 'mni'"),
        ('{"result_extension": "/../x.nii.gz"}', "result_extension: expected one of .nii.gz, .nii, .nrrd, .mha"),
        ('{"result_dtype": "object"}', "result_dtype: expected one of"),
        ('{"result_compress": "yes"}', "result_compress: expected true or false, got 'yes'"),
        ('{"logging": 3}', "logging: expected one of DEBUG"),
        ('{"device": "tpu"}', "device: expected one of cpu, cuda:0, got 'tpu'"),
        ('{"model_filename": "../../model.pt"}', "model_filename: expected one of model.pt"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(options: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        check_options(json.loads(options), CHOICES)


@pytest.mark.parametrize("value", ["x" * 10_000, {"a": list(range(10_000))}])
def test_a_long_value_is_shown_shortened(value: Any) -> None:
    with pytest.raises(ValueError, match="spacing_mm") as caught:
        check_options({"spacing_mm": value}, CHOICES)
    assert len(str(caught.value)) < 200
