"""The options of a MONAI Label request, checked before MONAI Label puts them into the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from bundle.data import FILE_KEYS, OPTION_KEYS
from bundle.inferers.registration import Refine
from bundle.io import check_system
from bundle.voxel_size import check_voxel_mm

NOT_OPTIONS = ("fixed", "displacement")  # the address names the fixed scan; no ground truth is needed
TEXTS = (*(key for key in FILE_KEYS if key not in NOT_OPTIONS), *OPTION_KEYS)
EXPRESSIONS = ("$", "@", "%")  # MONAI's config parser executes or follows texts that begin so
CHOICES: Mapping[str, Sequence[str]] = {
    "refine": get_args(Refine),
    "result_extension": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "result_dtype": ("uint8", "int16", "uint16", "float32", "float64"),
    "logging": ("DEBUG", "INFO", "WARNING", "ERROR"),
}
SPACING = "spacing_mm"
SERVER_CHOICES = ("device", "model_filename")  # which values there are depends on the server
NAMES = (*TEXTS, *CHOICES, *SERVER_CHOICES, SPACING, "result_compress", "client_id")


def check_options(options: Any, choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Check the names and values of a request's options; those that are null are left out.

    Args:
        options: content of the form's `params`.
        choices: values of `SERVER_CHOICES`.
    Returns: the options that are given.
    Raises: ValueError naming the option, its value and what is expected.
    """
    if not isinstance(options, dict):
        raise ValueError(f"params: expected a JSON object of options, got {_shown(options)}")
    unknown = [name for name in options if name not in NAMES]
    if unknown:
        raise ValueError(f"{_shown(unknown[0])}: unknown option; expected one of {', '.join(sorted(NAMES))}")
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        check_option(name, value, choices)
    if given.get("landmark_system"):
        check_system(given["landmark_system"])
    return given


def check_option(name: str, value: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Check the value of an option, see `check_options`; every other name has a text, as paths. Raises: ValueError."""
    if name == SPACING:
        check_voxel_mm(name, value)
        return
    for expected, is_right in _rules(name, choices):
        if not is_right(value):
            raise ValueError(f"{name}: expected {expected}, got {_shown(value)}")


def _rules(name: str, choices: Mapping[str, Sequence[str]]) -> list[tuple[str, Callable[[Any], bool]]]:
    """What is expected of an option, each as text and check."""
    if name == "result_compress":
        return [("true or false", lambda value: isinstance(value, bool))]
    if name in CHOICES or name in SERVER_CHOICES:
        allowed = CHOICES[name] if name in CHOICES else choices[name]
        return [(f"one of {', '.join(allowed)}", lambda value: isinstance(value, str) and value in allowed)]
    return [
        ("a text", lambda value: isinstance(value, str)),
        ("a text without null characters", lambda value: "\0" not in value),
        ("a text of whole characters", _is_encodable),
        (f"a text that does not begin with {', '.join(EXPRESSIONS)}", lambda value: not value.startswith(EXPRESSIONS)),
    ]


def _is_encodable(value: str) -> bool:
    """Whether a text has no half of a pair of surrogates, which JSON allows and no path can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
