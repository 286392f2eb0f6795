from __future__ import annotations

from bundle.quality import AssessRegistrationd
from tests.quality.test_evidence import make_pair
from tests.quality.test_vessel_residual import vessels


def test_a_right_and_a_wrong_registration_get_their_verdicts() -> None:
    right = AssessRegistrationd()(make_pair(vessels(), (0.0, 0.0, 0.0)))
    assert right["verdict"].reasons == ()
    assert right["verdict"].level == "ok"
    wrong = AssessRegistrationd()(make_pair(vessels(seed=1), (0.0, 0.0, 0.0)))
    assert wrong["verdict"].level == "failed"
    assert wrong["evidence"].vessels_matched < 0.3


def test_signs_of_a_wrong_header_are_reasons() -> None:
    for signs, level in ((None, "ok"), ([], "ok"), (["no geometry"], "check")):
        verdict = AssessRegistrationd()({**make_pair(vessels(), (0.0, 0.0, 0.0)), "implausible": signs})["verdict"]
        assert verdict.level == level
        assert verdict.reasons == tuple(signs or ())
