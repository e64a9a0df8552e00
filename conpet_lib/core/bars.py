"""Bars: the progress of long work, drawn for people and told briefly to logs.

In: how much there is to do. Out: a bar of tqdm. Imports no other file of the library. Knows nothing
of what is done. Start at `progress_bar`.
"""

import sys
from typing import Any, TextIO

from tqdm.auto import tqdm

SECONDS_PER_LINE = 60  # in a log


class _Lines:
    """A log in which a bar's states stand as lines, not one over the other.

    Args:
        log: Where the lines go.
    """

    def __init__(self, log: TextIO):
        self.log = log

    def write(self, text: str) -> None:
        """Write what a bar draws, as a line of its own."""
        line = text.strip("\r\n ")
        if line:
            self.log.write(f"{line}\n")

    def flush(self) -> None:
        """Hand on what was written."""
        self.log.flush()


def progress_bar(*arguments: Any, shown: bool = True, **settings: Any) -> tqdm:
    """A bar; where the output is neither a page nor a terminal, a line per minute.

    Args:
        *arguments: As for `tqdm`.
        shown: Whether to show it.
        **settings: As for `tqdm`.

    Returns:
        The bar.
    """
    is_page = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    if shown and not is_page and not sys.stderr.isatty():
        settings["file"] = _Lines(sys.stderr)
        settings["mininterval"] = settings["maxinterval"] = SECONDS_PER_LINE
    return tqdm(*arguments, disable=not shown, **settings)
