"""Reader: what a corpus must say of itself, and what reads one of its files.

In: nothing. Out: `Reader`, which each corpus fills in, and `Fault`, which it raises for bad data.
May import `example` and `core`. Knows no corpus and opens no file.
Start at `Reader`; `fewrel.py` is a short one to copy, and `check_reader` tries one out.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from xml.etree.ElementTree import ParseError

import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Example, ReadReport

# Official part by the name of a file. Files are read in this order, so that a mention that stands
# in two parts is kept in the scarcer one.
PARTS = {
    "test": "test",
    "dev": "valid",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "train": "train",
}

# What a reader finds in a file: examples, and a text for each record that is faulty.
Found = Iterator[Example | str]

Record = TypeVar("Record")


class Fault(ValueError):  # noqa: N818 - it is no mistake of the program's
    """What is wrong with a record or a file of the user's; its message says so in words."""


# What faulty data raise, by our own checks or in a library. Nothing else is a fault of the data:
# a TypeError or KeyError is a mistake in a reader, and keeps its traceback.
FAULTS = (ValueError, OSError, csv.Error, ParseError)


def fault_text(error: BaseException) -> str:
    """What is wrong, in words.

    Args:
        error: One of `FAULTS`. If a library raised it, its class stands before its message.

    Returns:
        The text for the list of faults.
    """
    if isinstance(error, Fault):
        return str(error)
    return f"{type(error).__name__} {error}"


def record_by_record(
    records: Iterable[tuple[str, Record]],
    read_record: Callable[[str, Record], Iterator[Example]],
) -> Found:
    """Examples of all records, and what is wrong with those that are faulty.

    A faulty record does not end the reading of a file, so that all faults are told at once.

    Args:
        records: Where each record stands, such as "line 3", and the record.
        read_record: Gives the examples of one record, or raises one of `FAULTS`.

    Returns:
        Examples, and one text for each faulty record.
    """
    for where, record in records:
        try:
            yield from read_record(where, record)
        except FAULTS as error:
            yield f"{where}: {fault_text(error)}"


@dataclass(frozen=True)
class Layout:
    """A form in which a corpus is handed out, and the signs by which it is told.

    Attributes:
        name: How the report and the messages call it.
        signs: A regular expression for each sign, by what the sign is in words. A file has the
            layout if all are found in its beginning.
        refused: Whether the layout is recognised only to say that it is another corpus.
    """

    name: str
    signs: Mapping[str, str]
    refused: bool = False

    def lacking(self, beginning: str) -> list[str]:
        """The signs that a file does not have.

        Args:
            beginning: The first characters of the file.

        Returns:
            Each missing sign in words.
        """
        return [words for words, sign in self.signs.items() if not re.search(sign, beginning)]


def _as_they_are(options: dict[str, object]) -> dict[str, object]:
    """Options that need no preparation."""
    return options


def _settled_already(examples: list[Example], report: ReadReport) -> list[Example]:
    """Examples that need no look at all of them."""
    return examples


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What a corpus says of itself.

    Attributes:
        name: What `load_corpus` calls it.
        kind: Chooses the prompt: "definition", "typing", "relation" or "text". None if the number
            of spans decides, as with a table of one's own.
        read_file: `read_file(file, report, **options)` gives the examples of one file and a text
            for each faulty record, counts in `report` what it leaves out, and raises `Fault` or
            ValueError if the whole file is bad.
        layouts: The forms that are recognised; the first one that fits a file counts.
        expected: What a record looks like; stands below every list of faults.
        wanted: What to get, and from where; ends every message about a missing or faulty file.
        licence: Under which licence the text is had.
        options: Values of each option of `load_corpus`, the default first; an empty list takes
            any value, and None is its default. `repeats` is not given to `read_file`: unless it
            is True, exact repeats of a mention are made one.
        preferred_folders: Of files in several folders, those below a folder of this name are read.
        official_files: Of several files, those of these names, without their endings, are read.
        beside: Patterns of files that are not read as records, but that a record may need.
        asset: Pinned package that carries the corpus, for those that need no path.
        from_memory: Turns what is no path into a DataFrame, or gives None if it cannot.
        prepare: Turns the options into what `read_file` takes, once for all files.
        settle: `settle(examples, report)` gives the examples as the corpus has them, once those of
            all files are known.
        version: To be raised when `read_file` gives other examples than before, because large
            corpora are kept as they were read.
    """

    name: str
    kind: str | None
    read_file: Callable[..., Found]
    layouts: tuple[Layout, ...]
    expected: str
    wanted: str
    licence: str = "that of your own data"
    options: Mapping[str, list[object]] = field(default_factory=dict)
    preferred_folders: tuple[str, ...] = ()
    official_files: tuple[str, ...] = tuple(PARTS)
    beside: tuple[str, ...] = ()
    asset: str | None = None
    from_memory: Callable[[object], pd.DataFrame | None] | None = None
    prepare: Callable[[dict[str, object]], dict[str, object]] = _as_they_are
    settle: Callable[[list[Example], ReadReport], list[Example]] = _settled_already
    version: int = 1

    def settings(self, options: Mapping[str, object]) -> dict[str, object]:
        """The value of every option, checked.

        Args:
            options: Those that were given.

        Returns:
            The given values, and the default of every other option.

        Raises:
            ConpetError: If there is no such option, or it does not take this value.
        """
        for option, value in options.items():
            values = self.options.get(option)
            if values is None or (values and value not in values):
                known = dict(self.options) or "none"
                raise ConpetError(
                    f"{option}={value!r} is no option of {self.name!r}; known: {known}."
                )
        defaults = {name: values[0] if values else None for name, values in self.options.items()}
        return defaults | dict(options)
