"""Simulated breaths: a pair with its ground-truth field from one CT."""

from bundle.synthetic.breath.motion import MotionParameters, draw_motion
from bundle.synthetic.breath.rand_simulate_motion import RandSimulateMotiond
from bundle.synthetic.breath.simulate_motion import SimulateMotiond, simulate_motion

__all__ = ["MotionParameters", "RandSimulateMotiond", "SimulateMotiond", "draw_motion", "simulate_motion"]
