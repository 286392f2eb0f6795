from __future__ import annotations

from monai.transforms import Compose, RandFlipd
from torch import nn

from bundle.handlers.faults.description import description_of
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss


def loss(weight: float, window_vox: int) -> nn.Module:
    similarity = LocalCrossCorrelationLoss(window_vox=window_vox)
    return RegistrationLoss(similarity=similarity, regularization=TotalVariationLoss(), weight=weight)


def test_settings_of_parts_within_parts_are_found_by_their_dotted_names() -> None:
    found = description_of({"loss": loss(0.25, 7), "transform": Compose([RandFlipd("image", prob=0.3)])})
    assert found["loss"] == "RegistrationLoss"
    assert (found["loss.weight"], found["loss.similarity"]) == (0.25, "LocalCrossCorrelationLoss")
    assert 7 in [value for name, value in found.items() if name.startswith("loss.similarity.")]
    assert (found["transform.transforms.0"], found["transform.transforms.0.prob"]) == ("RandFlipd", 0.3)
    assert all(isinstance(value, (bool, int, float, str, type(None))) for value in found.values())


def test_equal_parts_have_equal_descriptions_also_after_use() -> None:
    transform = Compose([RandFlipd("image", prob=0.5)])
    before = description_of({"transform": transform})
    transform.set_random_state(seed=3)
    transform.transforms[0].randomize(None)
    assert description_of({"transform": transform}) == before


def test_functions_are_their_names_and_parts_that_hold_themselves_end() -> None:
    class Ring:
        def __init__(self) -> None:
            self.next = self

        def __call__(self) -> None: ...

    found = description_of({"function": loss, "ring": Ring(), "none": None})
    assert (found["function"], found["none"]) == ("loss", None)
    assert found["ring.next"].endswith("Ring")
