"""Runs: a folder with all that one training left, written and read."""

from conpet_lib.runs.predicting import marked
from conpet_lib.runs.run import Run, load_run

__all__ = ["Run", "load_run", "marked"]
