"""Damage: whether a reader notices that a file is cut, holds garbage or was saved elsewhere.

In: a `Trial`. Out: what is wrong, in words, with what to mend. May import `trial`. Knows no corpus.
Start at `damage`.
"""

from collections.abc import Iterator
from pathlib import Path

from conpet_lib.corpora.trial import Reading, Trial

GARBAGE = b"<& this line is no record &>"  # neither JSON nor XML, nor columns of any table
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def windows_copy(trial: Trial) -> Iterator[str]:
    """Whether a file that an editor saved again is read as before.

    Args:
        trial: A reader that has read its sample.

    Yields:
        What is wrong, and what to mend.
    """
    for reading, copy in trial.copies("windows"):
        data = copy.read_bytes()
        try:
            data.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue  # no text, so no editor saves it
        lines = data.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n")
        copy.write_bytes(BYTE_ORDER_MARK + lines.replace(b"\n", b"\r\n"))
        again = trial.read(copy)
        if again.examples != reading.examples:
            why = again.faults[0] if again.faults else "other examples"
            yield (
                f"a copy of {reading.file.name} with a byte order mark and Windows' line ends "
                f"gives {why}: read the file by `text_of`."
            )


def _with_less(data: bytes) -> dict[str, bytes]:
    """Contents of a file of which something is lost, by how they were made."""
    half = len(data) // 2
    quarter = half // 2
    return {
        "cut in half": data[:half],
        "cut near its end": data[: len(data) * 9 // 10],
        "without its middle": data[:quarter] + data[half + quarter :],
    }


def _with_more(data: bytes) -> dict[str, bytes]:
    """Contents of a file with something in it that does not belong there, by what it is."""
    half = len(data) // 2
    bytes_added = data[:half] + b"\xff\0\xfe" + data[half:]
    lines = data.rstrip(b"\n").split(b"\n")
    middle = (len(lines) + 1) // 2
    line_added = [*lines[:middle], GARBAGE, *lines[middle:], b""]
    line_at_end = [*lines, GARBAGE, b""]
    return {
        "with bytes that are no text in its middle": bytes_added,
        "with a line of garbage in its middle": b"\n".join(line_added),
        "with a line of garbage at its end": b"\n".join(line_at_end),
    }


def _contents(reading: Reading) -> list[tuple[object, ...]]:
    """What examples say; their keys and sources may count the lines of the file."""
    return [(example.text, example.spans, example.label) for example in reading.examples]


def _is_silent(whole: Reading, damaged: Reading) -> bool:
    """Whether a reader says nothing of what was added to a file, or loses records by it."""
    if damaged.faults:
        return False
    has_same_report = damaged.report == whole.report
    is_as_before = has_same_report and _contents(damaged) == _contents(whole)
    return is_as_before or damaged.accounted() < whole.accounted()


def _damage_of(trial: Trial, whole: Reading, copy: Path) -> Iterator[str]:
    """What a reader makes of damaged contents of one file, up to the first bug."""
    data = whole.file.read_bytes()
    added = _with_more(data)
    for how, content in {**_with_less(data), **added}.items():
        copy.write_bytes(content)
        name = f"{whole.file.name} {how}"
        try:
            damaged = trial.read(copy)
        except Exception as bug:  # whatever a faulty record makes of a mistake in the reader
            trial.bugs.append(bug)
            yield (
                f"{name} raises {type(bug).__name__} {bug}: check what you take out of a record, "
                "as `field_of` does, and raise Fault if it is not as it should be."
            )
            return
        # Of what is cut off nobody can know what stood there.
        if how in added and _is_silent(whole, damaged):
            yield (
                f"{name} is read as if it were whole: count in report.skipped what is left out, "
                "or raise Fault."
            )


def damage(trial: Trial) -> Iterator[str]:
    """Whether a damaged file is refused, or what is wrong with it is accounted for.

    Args:
        trial: A reader that has read its sample.

    Yields:
        What is wrong, and what to mend.
    """
    for whole, copy in trial.copies("damaged"):
        yield from _damage_of(trial, whole, copy)
