"""Crops to train on: a pair on the network grid with further motion and an acquisition of its own for each side."""

from bundle.synthetic.crops.rand_crop_pair import RandCropPaird

__all__ = ["RandCropPaird"]
