"""Figures of README.md, docs/ and metadata.json, recomputed from the CSV files of docs/benchmarks."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from statistics import fmean, median, pstdev

import pytest

from bundle.reports.tre_table import format_number
from scripts.benchmark.methods import METHODS
from scripts.benchmark.table import COLUMNS, HEADER
from scripts.calibration.__main__ import judge_row
from scripts.calibration.table import kinds_table, rules_table

ROOT = Path(__file__).parents[1]
BENCHMARKS = "docs/benchmarks.md"
DATA_SETS = {"phantoms": "held-out phantoms", "simulated": "simulated motion", "followup_pair": "follow-up pair (real)"}
TOOLS = ("elastix", "ants", "convexadam")
OURS = "rrn_optimized"
VERSIONS_TITLE = "Version 0.7.0 against 0.6.0"
VERSION_SETS = {
    "phantoms": "held-out phantoms",
    "simulated": "simulated motion",
    "simulated_512": "simulated COPD motion, 512×512",
    "hard": "hard pairs",
    "followup_pair": "follow-up pair (real)",
}


def read_csv(name: str) -> list[dict[str, str]]:
    with (ROOT / "docs" / "benchmarks" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


RESULTS = read_csv("registration.csv")
LOSSES = read_csv("losses.csv")
VERDICTS = read_csv("verdict.csv")
SPEED = read_csv("speed.csv")
VERSIONS = read_csv("versions.csv")
HARD = read_csv("hard.csv")
ABLATION = read_csv("ablation.csv")


def values(data: str, method: str, column: str) -> list[float]:
    rows = [row[column] for row in RESULTS if (row["data"], row["method"]) == (data, method)]
    return [float(value) for value in rows if value]


def mean(data: str, method: str, column: str = "tre_mean_mm", digits: int = 2) -> str:
    measured = values(data, method, column)
    return format_number(fmean(measured) if measured else None, digits)


def median_of(pair: str, column: str) -> float:
    """Of the default runs of this version."""
    runs = [row for row in SPEED if (row["pair"], row["kind"], row["side"]) == (pair, "default", "after")]
    return median(float(row[column]) for row in runs)


def of_version(data: str, version: str, refine: str) -> dict[str, str]:
    """The run of a version on a data set."""
    (found,) = (row for row in VERSIONS if (row["data"], row["version"], row["refine"]) == (data, version, refine))
    return found


def versions_table() -> list[list[str]]:
    table = [["data", "cases", "RRN, 0.6.0", "RRN, 0.7.0", "optimised, 0.6.0", "optimised, 0.7.0"]]
    for data, label in VERSION_SETS.items():
        runs = [of_version(data, version, refine) for refine in ("none", "field") for version in ("0.6.0", "0.7.0")]
        table.append([label, runs[0]["cases"], *(format_number(float(run["tre_mean_mm"])) for run in runs)])
    return table


def cases(data: str) -> str:
    return str(len(values(data, "none", "landmarks")))


def landmarks(data: str) -> str:
    return f"{sum(values(data, 'none', 'landmarks')):.0f}"


def best_tool(data: str) -> str:
    tool = min(TOOLS, key=lambda name: fmean(values(data, name, "tre_mean_mm")))
    return f"{mean(data, tool)} ({METHODS[tool].label})"


def data_set_table(data: str) -> list[list[str]]:
    table = [list(HEADER)]
    for method in METHODS:
        if not values(data, method, "tre_mean_mm"):
            continue
        cells = [mean(data, method, column, digits) for column, digits in COLUMNS.items()]
        if int(cases(data)) > 1:
            cells[0] += f" ± {format_number(pstdev(values(data, method, 'tre_mean_mm')))}"
        table.append([METHODS[method].label, *cells])
    return table


def hard_table() -> list[list[str]]:
    columns = {"tre_mean_mm": 2, "tre_median_mm": 2, "tre_p95_mm": 2, "folding_percent": 4}
    table = [list(HEADER[:5])]
    for method in dict.fromkeys(row["method"] for row in HARD):
        of_method = {name: [float(row[name]) for row in HARD if row["method"] == method] for name in columns}
        cells = [format_number(fmean(of_method[name]), digits) for name, digits in columns.items()]
        cells[0] += f" ± {format_number(pstdev(of_method['tre_mean_mm']))}"
        table.append([METHODS[method].label, *cells])
    return table


def ablation_table() -> list[list[str]]:
    phantoms = ("test_00", "test_01", "test_02")
    table, above = [["network", *phantoms, "mean", "over the row above"]], None
    for row in ABLATION:
        mean_mm = fmean(float(row[name]) for name in phantoms)
        ratio = format_number(None if above is None else mean_mm / above)
        table.append([row["network"], *(row[name] for name in phantoms), format_number(mean_mm), ratio])
        above = mean_mm
    return table


def expected_tables() -> dict[str, dict[str, list[list[str]]]]:
    """By page and heading of the section."""
    stages = ("none", "alignment", "rrn", OURS)
    labels = [METHODS[stage].label for stage in stages]
    readme = [["data, not used for training", "cases", *labels, "best other tool"]]
    card = [["data", "cases", *labels[2:]]]
    for data, label in DATA_SETS.items():
        readme.append([label, cases(data), *(mean(data, stage) for stage in stages), best_tool(data)])
    for data, label in VERSION_SETS.items():
        runs = [of_version(data, "0.7.0", refine) for refine in ("none", "field")]
        card.append([label, runs[0]["cases"], *(format_number(float(run["tre_mean_mm"])) for run in runs)])
    benchmarks = {}
    for data in DATA_SETS:
        plural = "" if cases(data) == "1" else "s"
        benchmarks[f"{data}: {cases(data)} case{plural}, {landmarks(data)} landmarks"] = data_set_table(data)
    losses = [["side, voxels", *(f"{who}: {what}" for what in ("time, s", "memory, MiB") for who in ("ours", "MONAI"))]]
    for ours, monai in zip(LOSSES[::2], LOSSES[1::2], strict=True):
        both = [loss[key] for key in ("time_s", "peak_memory_mib") for loss in (ours, monai)]
        losses.append([ours["side_vox"], *both])
    return {
        "README.md": {"Results": readme},
        "docs/README.md": {"Performance": card},
        BENCHMARKS: {
            **benchmarks,
            "Losses": losses,
            VERSIONS_TITLE: versions_table(),
            "Hard pairs": hard_table(),
            "Ablation": ablation_table(),
        },
        "docs/verdict.md": {"Evidence and limits": rules_table(), "Calibration": kinds_table(VERDICTS)},
    }


def expected_quotes() -> dict[str, dict[str, list[str]]]:
    """Single figures, by page: pattern of the place, and values of its groups."""
    followup = "followup_pair"
    speed = {
        pair: [median_of(pair, "time_s"), median_of(pair, "peak_memory_mib")] for pair in ("512x512x111", followup)
    }
    costs = {pair: [f"{time_s:.0f}", f"{mib * 2**20 / 1e9:.1f}"] for pair, (time_s, mib) in speed.items()}
    alone, optimised = (
        [format_number(float(of_version(data, "0.7.0", refine)["tre_mean_mm"])) for data in DATA_SETS]
        for refine in ("none", "field")
    )
    target = r"\| RRN \+ instance optimisation \| TRE {}, mm \| [\d.]+ \| (\S+) \|"
    return {
        "README.md": {
            r"both lungs \| [^|]+ \| (\S+) \| (\S+) \|": costs["512x512x111"],
            r"one lung \| [^|]+ \| (\S+) \| (\S+) \|": costs[followup],
            r"network alone reaches (\S+), (\S+) and (\S+) mm": alone,
            r"the default (\S+), (\S+) and (\S+) mm": optimised,
        },
        BENCHMARKS: {
            r"equally accurate\s\((\S+)\sand\s(\S+)\smm\)": [mean(followup, "rrn"), mean(followup, "no_cost_volume")],
            r"whose mean error is\s(\S+) mm": [mean("simulated", OURS)],
            r"\*\*adopted\*\*: (\S+) instead": [mean(followup, OURS)],
            r"\(mean (\S+) to 1.61 mm\)": [mean(followup, OURS)],
            target.format("mean"): [mean(followup, OURS)],
            target.format("median"): [mean(followup, OURS, "tre_median_mm")],
            target.format("p95"): [mean(followup, OURS, "tre_p95_mm", 1)],
            r"\| RRN \| TRE mean, mm \| [\d.]+ \| (\S+) \|": [mean(followup, "rrn", digits=1)],
        },
    }


TABLES, QUOTES = expected_tables(), expected_quotes()
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in TABLES}


def section(text: str, heading: str) -> str:
    """The text below a heading of the second level, empty if there is none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def table_rows(text: str) -> list[list[str]]:
    """Cells of all tables, without marks for bold text and code."""
    rows = [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line)]
    return [[re.sub(r"\*\*|`", "", cell).strip() for cell in row.strip("|").split(" | ")] for row in rows]


def wrong_figures(page: str, text: str) -> list[str]:
    """Differences between a page and the CSV files."""
    wrong = []
    for heading, expected in TABLES.get(page, {}).items():
        found = table_rows(section(text, heading))
        wrong += [f"{heading}: expected {row}" for row in expected if row not in found]
        wrong += [f"{heading}: unexpected {row}" for row in found if row not in expected]
    for pattern, figures in QUOTES.get(page, {}).items():
        quoted = re.search(pattern, text)
        if quoted is None or list(quoted.groups()) != figures:
            wrong.append(f"{pattern}: expected {figures}, found {quoted and quoted.groups()}")
    return wrong


@pytest.mark.parametrize("page", TABLES)
def test_every_figure_of_a_page_repeats_the_csv(page: str) -> None:
    assert wrong_figures(page, TEXTS[page]) == []


@pytest.mark.parametrize("page", TABLES)
def test_a_changed_digit_is_noticed(page: str) -> None:
    text = TEXTS[page]
    for heading in TABLES[page]:
        start = text.index(f"## {heading}\n")
        lines = [line for line in section(text, heading).splitlines() if line.startswith("|")]
        assert len(lines) == len(TABLES[page][heading]) + 1
        for line in lines:
            at = text.index(line, start)
            for digit in re.finditer(r"\d", line):
                assert wrong_figures(page, change_digit(text, at + digit.start())), line
    for pattern in QUOTES.get(page, {}):
        quoted = re.search(pattern, text)
        for group in range(1, len(quoted.groups()) + 1):
            assert wrong_figures(page, change_digit(text, quoted.start(group))), pattern


def change_digit(text: str, position: int) -> str:
    return text[:position] + str((int(text[position]) + 1) % 10) + text[position + 1 :]


def test_metadata_names_the_error_on_every_data_set() -> None:
    """Mean TRE, default settings: what the page of the benchmarks repeats too."""
    metrics = json.loads((ROOT / "configs" / "metadata.json").read_text())["eval_metrics"]
    of_data = {data: float(of_version(data, "0.7.0", "field")["tre_mean_mm"]) for data in VERSION_SETS}
    assert metrics == {f"tre_mm_{data}": round(value, 2) for data, value in of_data.items()}


def test_statements_about_the_results_hold() -> None:
    for row in RESULTS:
        if row["data"] != "followup_pair" and row["method"] == "rrn":
            tre = {other["method"]: float(other["tre_mean_mm"]) for other in RESULTS if is_same_pair(other, row)}
            assert tre["rrn"] < tre["no_cost_volume"] < tre["voxelmorph"]
    assert mean("followup_pair", "convexadam") < mean("followup_pair", OURS) == mean("followup_pair", "elastix")
    for ours, monai in zip(LOSSES[::2], LOSSES[1::2], strict=True):
        assert "ours" in ours["loss"]
        assert float(ours["time_s"]) <= float(monai["time_s"])
        assert float(ours["peak_memory_mib"]) <= float(monai["peak_memory_mib"])


def test_the_verdicts_are_those_of_the_rules_and_tell_failures_from_good_pairs() -> None:
    assert [judge_row(row) for row in VERDICTS] == VERDICTS
    good = [row["verdict"] for row in VERDICTS if row["kind"].startswith("good")]
    failures = [row["verdict"] for row in VERDICTS if row["kind"].startswith("failure")]
    assert min(len(good), len(failures)) >= 60
    assert good.count("ok") >= 0.95 * len(good)
    assert "ok" not in failures


def is_same_pair(one: dict[str, str], other: dict[str, str]) -> bool:
    return (one["data"], one["case"]) == (other["data"], other["case"])
