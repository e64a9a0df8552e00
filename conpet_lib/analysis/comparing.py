"""Comparing: many runs: train what is missing, list them, and say how far they differ.
In: streams, configs and seeds, or folders of runs. Out: DataFrames, a row a run or a row a comparison.
May import `training` and `runs`. Start at `grid`, `runs_table`, `compare`."""

import itertools
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
from scipy import stats

from conpet_lib.analysis.tables import BACKBONE, runs_table
from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.methods import CONFIGS
from conpet_lib.runs.run import Run


def compare(
    runs: Sequence[Run] | pd.DataFrame, by: str = "learner", measure: str = "average accuracy"
) -> pd.DataFrame:
    """Mean paired difference of each two values of a column, with 95 % intervals; a pair has one stream, one seed.
    Args: runs: runs, or rows of `runs_table`. by, measure: columns of it; `order_seed`, if added, is paired by seed.
    Returns: a row a comparison: one, other (as they come), difference (one minus other), low and high (Student's t),
        bootstrap low and high (percentile, 9,999 draws of pairs: too narrow for few), agree (false where one interval
        alone holds zero), pairs, seeds, and in `not held equal` the settings of both that differ besides `by`.
    Raises: ConpetError for unfinished runs, and for runs that cannot be paired since their data differ."""
    table = runs if isinstance(runs, pd.DataFrame) else runs_table(runs)
    for column in (by, measure):
        check_known("column", column, table.columns)
    table = table.assign(
        **{by: table[by].convert_dtypes().astype(object).fillna("None").astype(str)}
    )
    held = ["seed"] if by == "order_seed" else ["stream", "seed"]
    counts = pd.crosstab([table[name] for name in held], table[by])
    wrong, open_runs = counts[(counts != 1).any(axis=1)], table.loc[~table["finished"], "folder"]
    if len(wrong) or len(open_runs):
        raise ConpetError(
            f"These runs cannot be paired by {by}. Each value needs one finished run on each "
            f"{' and '.join(held)}, as `grid` makes them; choose among runs with `runs_table`."
            + (f" Runs found where it is not so:\n{wrong}" if len(wrong) else "")
            + "".join(f"\n{folder} is not finished." for folder in open_runs)
        )
    values, found = table.pivot(index=held, columns=by, values=measure), []
    for one, other in itertools.combinations(table[by].unique(), 2):
        gain, both = (
            (values[one] - values[other]).to_numpy(dtype=float),
            table[table[by].isin([one, other])],
        )
        shared = set.intersection(
            *({field.name for field in fields(CONFIGS[name])} for name in both["learner"])
        )
        names = sorted({*shared, *BACKBONE, "corpus", "tasks"} & {*both} - {by})
        varied = both.astype(str).groupby(held)[names].nunique(dropna=False).max()
        found.append(
            {
                "one": one,
                "other": other,
                "difference": gain.mean(),
                **intervals(gain),
                "pairs": len(gain),
                "seeds": table["seed"].nunique(),
                "not held equal": ", ".join(varied.index[varied > 1]),
            }
        )
    return pd.DataFrame(found)


def intervals(gain: np.ndarray) -> dict:
    """The 95 % intervals of a mean of paired differences, the one value where all are alike; see `compare`."""
    low = high = least = most = np.nan  # of one difference there are none
    if len(gain) > 1:
        low, high = (
            stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))
            if np.ptp(gain)
            else gain[:2]
        )
        draws = numpy_generator(0, "bootstrap")
        least, most = stats.bootstrap(
            (gain,), np.mean, method="percentile", rng=draws
        ).confidence_interval
    return {
        "low": low,
        "high": high,
        "bootstrap low": least,
        "bootstrap high": most,
        "agree": (low <= 0 <= high) == (least <= 0 <= most),
    }


def compare_costs(one: Run, other: Run) -> pd.DataFrame:
    """What two runs did not spend alike: a row a quantity that differs, with columns one, other and their ratio."""
    spent = (
        pd.DataFrame({"one": one.summary(), "other": other.summary()})
        .loc["trained parameters":]
        .astype(float)
    )
    return spent.assign(ratio=spent["one"] / spent["other"])[spent["one"] != spent["other"]]
