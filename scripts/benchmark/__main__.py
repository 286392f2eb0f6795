"""`python -m scripts.benchmark run|report`."""

from __future__ import annotations

import logging

import fire

from scripts.benchmark.run import benchmark, report

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire({"run": benchmark, "report": report})
