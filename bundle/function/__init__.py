"""Lung function: what the field between inhale and exhale says about ventilation, gas trapping and strain."""

from bundle.function.breath import Breath, make_breath
from bundle.function.from_result import LungFunctiond, LungFunctionScansd, lung_pair
from bundle.function.maps import NAMES, MapOptions
from bundle.function.measures.response import ResponseThresholds
from bundle.function.report import LungPair, summary_line
from bundle.function.write import write_lung_function

__all__ = [
    "NAMES",
    "Breath",
    "LungFunctionScansd",
    "LungFunctiond",
    "LungPair",
    "MapOptions",
    "ResponseThresholds",
    "lung_pair",
    "make_breath",
    "summary_line",
    "write_lung_function",
]
