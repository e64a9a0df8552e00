"""Comparing: how far runs differ, in pairs, with intervals.

In: runs, or rows of `runs_table`. Out: DataFrames, a row per comparison. Start at `compare`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy import stats

from conpet_lib.analysis.tables import BACKBONE, runs_table
from conpet_lib.core.arguments import check_columns, checked
from conpet_lib.core.errors import ArgumentError, ConpetError, check_known
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.runs.run import Run

OTHERS = ("learner", "corpus", "tasks")  # what else may differ, beside settings and backbone


@checked
def compare(
    runs: Sequence[Run] | pd.DataFrame, by: str = "learner", measure: str = "average accuracy"
) -> pd.DataFrame:
    """The mean paired difference of each two values of a column, with 95 % intervals.

    A pair has one stream and one seed.

    Args:
        runs: Runs, or rows of `runs_table`.
        by: The column whose values are compared; `order_seed`, if added, is paired by seed.
        measure: The column of the numbers that differ.

    Returns:
        A row per comparison: one, other (as they come), difference (one minus other), low and high
        (Student's t), bootstrap low and high (percentile, 9,999 draws of pairs: too narrow for
        few), agree (false where one interval alone holds zero), pairs, seeds, and in
        `not held equal` the settings of both that differ besides `by`.

    Raises:
        ConpetError: For unfinished runs, and for runs that cannot be paired because their data
            differ.
    """
    table = runs if isinstance(runs, pd.DataFrame) else runs_table(runs)
    for column in (by, measure):
        check_known("column", column, list(table.columns))
    _check_columns(table, by, measure)
    table = table.assign(**{by: as_texts(table[by])})
    held = ["seed"] if by == "order_seed" else ["stream", "seed"]
    _check_pairs(table, by, held)
    values = table.pivot(index=held, columns=by, values=measure)
    rows = []
    for one, other in itertools.combinations(table[by].unique(), 2):
        gain = (values[one] - values[other]).to_numpy(dtype=float)
        both = table[table[by].isin([one, other])]
        row = {"one": one, "other": other, "difference": gain.mean(), **intervals(gain)}
        row |= {"pairs": len(gain), "seeds": table["seed"].nunique()}
        row["not held equal"] = ", ".join(_not_held_equal(both, by, held))
        rows.append(row)
    return pd.DataFrame(rows)


def _check_columns(table: pd.DataFrame, by: str, measure: str) -> None:
    """Refuse columns that no difference can be had of."""
    check_columns("compare", "runs", table, ("seed", "stream", "finished", "folder", "learner"))
    if by in ("seed", "stream", measure):
        raise ArgumentError(
            f"compare(by={by!r}): by must be a setting; runs are paired by stream and seed."
        )
    if not is_numeric_dtype(table[measure]):
        raise ArgumentError(f"compare(measure={measure!r}): measure must be a column of numbers.")


def as_texts(column: pd.Series) -> pd.Series:
    """Values of a setting as texts: whole numbers without a point, "None" for nothing.

    Args:
        column: Of a table of runs.
    """
    return column.convert_dtypes().astype(object).fillna("None").astype(str)


def _check_pairs(table: pd.DataFrame, by: str, held: list[str]) -> None:
    """Refuse runs that are unfinished, or of which there is not one per value and pair."""
    counts = pd.crosstab([table[name] for name in held], table[by])
    wrong = counts[(counts != 1).any(axis=1)]
    unfinished = table.loc[~table["finished"], "folder"]
    if wrong.empty and unfinished.empty:
        return
    lines = [
        f"These runs cannot be paired by {by}. Each value needs one finished run on each "
        f"{' and '.join(held)}, as `grid` makes them; choose among runs with `runs_table`."
    ]
    if len(wrong):
        lines[0] += f" Runs found where it is not so:\n{wrong}"
    lines += [f"{folder} is not finished." for folder in unfinished]
    raise ConpetError("\n".join(lines))


def _not_held_equal(both: pd.DataFrame, by: str, held: list[str]) -> list[str]:
    """Settings that both learners have and that differ within a pair, besides what is compared."""
    settings = set.intersection(*(_settings_of(learner, both) for learner in both["learner"]))
    names = sorted({*settings, *BACKBONE, *OTHERS} & {*both} - {by})
    varied = both.astype(str).groupby(held)[names].nunique(dropna=False).max()
    return list(varied.index[varied > 1])


def _settings_of(learner: str, table: pd.DataFrame) -> set[str]:
    """The settings of a method: its configuration's fields; of an unknown one, what has values."""
    from conpet_lib.learners.methods import CONFIGS  # needs transformers and peft

    if learner in CONFIGS:
        return {field.name for field in fields(CONFIGS[learner])}
    known = {field.name for config in CONFIGS.values() for field in fields(config)}
    rows = table[table["learner"] == learner]
    return {name for name in known & {*rows} if rows[name].notna().any()}


def intervals(gain: np.ndarray) -> dict[str, float | bool]:
    """The 95 % intervals of a mean of paired differences; of one difference there are none.

    Args:
        gain: `(pairs,)`, the differences.

    Returns:
        low, high, bootstrap low, bootstrap high and agree, as `compare` describes them; where all
        differences are alike, the one value.
    """
    low = high = least = most = float("nan")
    if len(gain) > 1:
        if np.ptp(gain):
            low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))
        else:
            low = high = gain[0]
        draws = numpy_generator(0, "bootstrap")
        drawn = stats.bootstrap((gain,), np.mean, method="percentile", rng=draws)
        least, most = drawn.confidence_interval
    return {
        "low": low,
        "high": high,
        "bootstrap low": least,
        "bootstrap high": most,
        "agree": (low <= 0 <= high) == (least <= 0 <= most),
    }


@checked
def compare_costs(one: Run, other: Run) -> pd.DataFrame:
    """What two runs did not spend alike.

    Args:
        one: A run.
        other: Another.

    Returns:
        A row per quantity that differs, with columns one, other and their ratio.
    """
    both = pd.DataFrame({"one": one.summary(), "other": other.summary()})
    spent = both.loc["trained parameters":].astype(float)
    spent["ratio"] = spent["one"] / spent["other"]
    return spent[spent["one"] != spent["other"]]
