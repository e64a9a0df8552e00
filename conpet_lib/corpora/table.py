"""Your own data: a CSV, TSV or JSON-lines file, or a pandas DataFrame.

Columns: `text` and `label`; for typing also `start` and `end` (character positions, end exclusive), for relations
`head_start`, `head_end`, `tail_start`, `tail_end`; `part` if there is one. Without positions the text is classified.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.example import Corpus, Example, ReadReport, overlap, read_files

ADVICE = ("Wanted: a .csv, .tsv or .jsonl file with a column for the text and one for the label. "
          "Positions count characters from 0; the end is exclusive.")
JSON_LINES = (".jsonl", ".ndjson")
GUESSES = {"text": ("text", "sentence", "content"), "label": ("label", "class", "type", "category")}
POSITIONS = ((("head_start", "head_end"), ("tail_start", "tail_end")), (("start", "end"),), ())
KINDS = ("text", "typing", "relation")       # by the number of spans


def read_table(path: str | Path | pd.DataFrame | None = None, text: str = "", label: str = "") -> Corpus:
    """A table, one example a row. `text` and `label` name the columns if they cannot be guessed."""
    def read(file: Path, report: ReadReport) -> Iterator[Example | str]:
        return read_rows(path if frame else open_table(file), text, label, file, report)
    frame = isinstance(path, pd.DataFrame)
    place = Path("table") if frame else path
    examples, report = read_files(place, lambda folder: [folder] if frame else [], read, ADVICE)
    return Corpus(Path(place).stem, KINDS[len(examples[0].spans) if examples else 0], examples, report)


def open_table(file: Path) -> pd.DataFrame:
    """The file as a DataFrame, its layout told by its ending; all as text: a label "007" or "NA" is one like others."""
    if file.suffix in JSON_LINES:
        lines = filter(str.strip, file.read_text(encoding="utf-8-sig").split("\n"))
        return pd.DataFrame(map(json.loads, lines), dtype=object)
    return pd.read_csv(file, sep="\t" if file.suffix == ".tsv" else ",", dtype=str, keep_default_na=False,
                       encoding="utf-8-sig")


def column(table: pd.DataFrame, wanted: str, given: str) -> str:
    """The column that was given for the text or the label, or the first whose name is one of the usual."""
    for name in table.columns:
        if name == given or not given and str(name).lower() in GUESSES[wanted]:
            return name
    raise ValueError(f"no column for the {wanted}; the columns are {', '.join(map(str, table.columns))}. "
                     f"Say which with load_corpus('table', path=..., {wanted}='column').")


def read_rows(table: pd.DataFrame, text: str, label: str, file: Path, report: ReadReport) -> Iterator[Example | str]:
    """The example of each row, or what is wrong with its positions."""
    text, label = column(table, "text", text), column(table, "label", label)
    pairs = next(pairs for pairs in POSITIONS if all(name in table for pair in pairs for name in pair))
    first = 1 if file.suffix in JSON_LINES else 2                # line 1 of a CSV holds the column names
    for line, row in enumerate(table.to_dict("records"), first):
        words, name = row[text], row[label]
        if isinstance(name, float) and name.is_integer():
            name = int(name)                                     # pandas' floats of whole numbers with gaps
        empty = not isinstance(words, str) or not words.strip()
        if empty or pd.isna(name) or not str(name).strip():
            report.skipped["empty text" if empty else "no label"] += 1
            continue
        try:
            spans = tuple((int(row[start]), int(row[end])) for start, end in pairs)
        except (ValueError, TypeError):
            yield f"line {line}: a position is not a whole number"
            continue
        wrong = [span for span in spans if not 0 <= span[0] < span[1] <= len(words)]
        if wrong:
            yield f"line {line}: the span {wrong[0]} does not lie in the text ({len(words)} characters)"
        elif overlap(spans):
            yield f"line {line}: head {spans[0]} and tail {spans[1]} overlap"
        part = None if pd.isna(row.get("part")) else row["part"] or None
        yield Example(key=f"{file.stem}:{line}", text=words, spans=spans, label=str(name).strip(), part=part,
                      source=f"{file.name}, line {line}")
