"""Cells: the values of a table as texts, parts and positions.

In: a cell, as pandas or JSON gives it. Out: its text, or what the text says; or a `Fault`.
May import `reader` and `text`. Knows no column. Start at `cell_text`.
"""

import re

import pandas as pd

from conpet_lib.corpora.reader import PARTS, Fault
from conpet_lib.corpora.text import shown

PART_NAMES = PARTS | {"training": "train", "development": "valid", "testing": "test"}


def cell_text(value: object) -> str:
    """A cell as text.

    Args:
        value: What stands in the cell.

    Returns:
        "" for nothing, and "7" for the 7.0 that pandas makes of 7 beside a gap.

    Raises:
        Fault: If it is a list or the like, or a number so large that a float cannot hold it.
    """
    if not pd.api.types.is_scalar(value):
        raise Fault(f"a {type(value).__name__} in a cell")
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        # From 2 ** 53 on, neighbouring whole numbers are the same float.
        if abs(value) >= 2**53:
            raise Fault(
                f"{value:.0f} is kept as a float, which cannot tell it from its neighbours; keep "
                "the column as text, or as Int64"
            )
        return str(int(value))
    return str(value)


def part_of(cell: str) -> str | None:
    """The official part that a cell names.

    Args:
        cell: The cell as text.

    Returns:
        "train", "valid" or "test"; None for an empty cell.

    Raises:
        Fault: If it names another.
    """
    name = cell.strip().lower()
    if not name:
        return None
    if name not in PART_NAMES:
        raise Fault(
            f"part: expected one of {', '.join(PARTS)}, found {name!r}; if the column tells no "
            "parts, say so with part=False"
        )
    return PART_NAMES[name]


def position_of(cell: str, name: str) -> int:
    """A position that stands in a cell.

    Args:
        cell: The cell as text; pandas writes 7 as 7.0 where another row of the column is empty.
        name: The value's name, for the message.

    Returns:
        The whole number.

    Raises:
        Fault: If it is none.
    """
    match = re.fullmatch(r"(-?\d{1,18})(\.0)?", cell.strip(), re.ASCII)
    if match is None:
        raise Fault(f"{name}: expected a whole number, found {shown(cell)}")
    return int(match[1])
