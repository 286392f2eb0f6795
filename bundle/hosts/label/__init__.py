"""MONAI Label."""

from bundle.hosts.label.request import LabelRequestd
from bundle.hosts.label.response import LabelResponsed

__all__ = ["LabelRequestd", "LabelResponsed"]
