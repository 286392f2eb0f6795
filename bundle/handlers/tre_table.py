"""Ignite handler that ends an evaluation with its TRE table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from rich.console import Console
from rich.table import Table

from bundle.data import check_as_typed
from bundle.handlers.case_metric import engine_cases
from bundle.io import Recipe, make_folder, read_recipe
from bundle.reports.case_score import CaseScore, score_pair
from bundle.reports.tre_table import format_number, summarize_cases, write_tre_report


class TRETableHandler:
    """Prints TRE without registration, after alignment and after the network, per case, when the evaluator completes.

    Cases hold what `score_pair` reads. All ranks are gathered; a pair that a sampler gave to two of them counts once.

    Args:
        weights: file of the network's weights, whose recipe says which pairs it was trained on; unknown if None.
        output_dir: existing or new folder for `tre.csv`, `tre.json` and `tre.md`; none are written if None.
    """

    def __init__(self, *, weights: str | Path | None = None, output_dir: str | Path | None = None) -> None:
        check_as_typed({"output_dir": output_dir})
        self.weights = weights
        self.recipe: Recipe | None = None
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.scores: list[CaseScore] = []

    def attach(self, engine: Engine) -> None:
        """Follow an evaluator."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _started(self, engine: Engine) -> None:
        self.scores = []
        self.recipe = None if self.weights is None else read_recipe(self.weights)
        if self.output_dir is not None:
            make_folder(self.output_dir)

    def _collect(self, engine: Engine) -> None:
        self.scores += [score_pair(case, self.recipe) for case in engine_cases(engine)]

    def _report(self, engine: Engine) -> None:
        gathered: Any = idist.all_gather(self.scores) if idist.get_world_size() > 1 else [self.scores]
        scores = list({score.name: score for rank in gathered for score in rank}.values())
        if idist.get_rank() != 0 or not scores:
            return
        Console().print(tre_console_table(scores))
        if self.output_dir is not None:
            write_tre_report(self.output_dir, scores)


def tre_console_table(scores: list[CaseScore]) -> Table:
    """Continuous TRE of each case and the mean over cases, for a terminal of 80 columns."""
    table = Table(title="Target registration error, mm (mean ± std over landmarks)")
    table.add_column("case")
    for header in ("landmarks", "without", "aligned", "network"):
        table.add_column(header, justify="right")
    for score in scores:
        row = score.row()
        stages = [format_number(row[f"tre_{key}mm"]) for key in ("none_", "aligned_", "")]
        stages[-1] += f" ± {format_number(row['tre_std_mm'])}"
        table.add_row(score.name, str(row["landmarks"]), *stages)
    table.add_section()
    mean = summarize_cases(scores)["mean"]
    means = [format_number(mean.get(f"tre_{key}mm")) for key in ("none_", "aligned_", "")]
    table.add_row("mean over cases", "", *means)
    return table
