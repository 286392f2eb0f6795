"""What programs that serve the bundle need around its own workflow."""

from bundle.hosts.label_request import LabelRequestd
from bundle.hosts.label_response import LabelResponsed

__all__ = ["LabelRequestd", "LabelResponsed"]
