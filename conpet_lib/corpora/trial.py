"""Trial: a reader on a sample of its corpus, for `check_reader`.

In: a `Reader`, its options, and the files of the sample. Out: what it gives for each file, as
`load_corpus` would get it. May import `layouts`, `reader` and `example`. Judges nothing.
Start at `Trial`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conpet_lib.corpora.example import Example, ReadReport
from conpet_lib.corpora.layouts import files_beside
from conpet_lib.corpora.reader import FAULTS, Reader, fault_text

TRIED = 3  # files of a sample that are changed in order to see what happens, the smallest ones


@dataclass(frozen=True)
class Reading:
    """What a reader gave for one file.

    Attributes:
        file: The file.
        examples: The examples in it.
        faults: What the reader calls wrong with it.
        report: What the reader left in the report.
    """

    file: Path
    examples: list[Example]
    faults: list[str]
    report: ReadReport

    def accounted(self) -> int:
        """Number of examples, and of records that were counted as left out or made one."""
        return len(self.examples) + self.report.skipped.total() + self.report.merged.total()


@dataclass
class Trial:
    """A reader on its sample.

    Attributes:
        reader: The reader.
        options: What `read_file` is given beside file and report.
        folder: An empty folder for changed copies of the sample.
        readings: What the reader gave for each file of the sample.
        bugs: Exceptions that are no faults of the data, in the order in which they were met.
    """

    reader: Reader
    options: dict[str, object]
    folder: Path
    readings: list[Reading] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    def read(self, file: Path) -> Reading:
        """What the reader gives for a file.

        Args:
            file: One of the sample, or a changed copy.

        Returns:
            Its examples and faults.

        Raises:
            TypeError: If it gives something that is neither an example nor a text.
        """
        report = ReadReport()
        examples: list[Example] = []
        faults: list[str] = []
        try:
            for finding in self.reader.read_file(file, report, **self.options):
                if isinstance(finding, Example):
                    examples.append(finding)
                elif isinstance(finding, str):
                    faults.append(finding)
                else:
                    kind = type(finding).__name__
                    raise TypeError(f"read_file gave a {kind}, neither an Example nor a text")
        except FAULTS as error:
            faults.append(f"cannot be read: {fault_text(error)}")
        return Reading(file, examples, faults, report)

    def examples(self) -> Iterator[tuple[Path, Example]]:
        """All examples of the sample, each with its file."""
        for reading in self.readings:
            for example in reading.examples:
                yield reading.file, example

    def copies(self, purpose: str) -> Iterator[tuple[Reading, Path]]:
        """Copies of the smallest files, each in a folder with the files that it needs beside it.

        Args:
            purpose: Names the folders; no other call may have it.

        Yields:
            The reading of a file, and its copy, which may be changed.
        """
        by_size = sorted(self.readings, key=lambda reading: reading.file.stat().st_size)
        for number, reading in enumerate(by_size[:TRIED]):
            folder = self.folder / f"{purpose}-{number}"
            folder.mkdir()
            for file in files_beside([reading.file], self.reader):
                shutil.copy(file, folder / file.name)
            yield reading, Path(shutil.copy(reading.file, folder / reading.file.name))
