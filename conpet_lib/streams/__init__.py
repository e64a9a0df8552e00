"""Streams: a corpus cut into an ordered sequence of tasks with disjoint labels."""

from conpet_lib.streams.drawing import make_stream
from conpet_lib.streams.stream import Stream, Task

__all__ = ["Stream", "Task", "make_stream"]
