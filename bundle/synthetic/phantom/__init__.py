"""Breathing thorax phantoms."""

from bundle.synthetic.phantom.case import PhantomCase, make_phantom
from bundle.synthetic.phantom.dataset import phantom_dir, write_phantoms
from bundle.synthetic.phantom.dirlab import write_dirlab_case

__all__ = ["PhantomCase", "make_phantom", "phantom_dir", "write_dirlab_case", "write_phantoms"]
