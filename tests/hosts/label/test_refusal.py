from __future__ import annotations

import errno

import pytest

from bundle.hosts.label.options import check_options
from bundle.hosts.label.refusal import refusal


def test_our_own_checks_are_bad_requests_also_inside_other_errors() -> None:
    with pytest.raises(ValueError, match="spacing_mm") as caught:
        check_options({"spacing_mm": 0}, {})
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = caught.value
    for error in (caught.value, wrapped):
        assert refusal(error) == (400, "spacing_mm: expected 0.5 to 10 mm, got 0")


def test_files_of_the_request_are_bad_requests_and_a_full_disk_is_the_servers() -> None:
    assert refusal(FileNotFoundError("a.nii.gz: no such file")) == (400, "a.nii.gz: no such file")
    full = RuntimeError("applying transform")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device", "out/warped.nii.gz")
    assert refusal(full) == (507, "out/warped.nii.gz: No space left on device")


@pytest.mark.parametrize("error", [ValueError("of another library"), KeyError("a"), RuntimeError("out of memory")])
def test_faults_of_the_program_are_no_refusals(error: Exception) -> None:
    assert refusal(error) is None
