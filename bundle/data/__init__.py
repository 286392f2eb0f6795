from bundle.data.pairs import check_pairs, make_pair, read_pairs
from bundle.data.pairs_to_register import pairs_to_register
from bundle.data.phantom import PhantomCase, make_phantom
from bundle.data.phantom_dataset import phantom_dir, write_phantoms
from bundle.data.phantom_dirlab import write_dirlab_case

__all__ = [
    "PhantomCase",
    "check_pairs",
    "make_pair",
    "make_phantom",
    "pairs_to_register",
    "phantom_dir",
    "read_pairs",
    "write_dirlab_case",
    "write_phantoms",
]
