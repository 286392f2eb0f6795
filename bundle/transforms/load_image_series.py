"""Load the volumes of a pair, of the DICOM series the pair names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import LoadImaged

from bundle.io import ScanReader
from bundle.processors import side_by_side


class LoadImageSeriesd(LoadImaged):
    """MONAI's LoadImaged with `bundle.io.ScanReader`: volumes (1, H, W, D), float32, with their affines.

    `fixed_series` and `moving_series` of the pair choose the series of a DICOM folder, see
    `bundle.formats.dicom.find_volume`. No other reader is tried after an error.

    Args:
        keys: files or folders to load.
        allow_missing_keys: skip those the pair lacks.
    """

    def __init__(self, keys: KeysCollection, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, ensure_channel_first=True, allow_missing_keys=allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any], reader: None = None) -> dict[Hashable, Any]:
        pair = dict(data)
        keys = list(self.key_iterator(pair))
        images = side_by_side(lambda key: self._loader(pair[key], ScanReader(pair.get(f"{key}_series"))), keys)
        return pair | dict(zip(keys, images, strict=True))
