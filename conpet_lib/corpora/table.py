"""Your own data: a CSV, TSV or JSON-lines file, or a pandas DataFrame.

Columns: `text` and `label`; for typing also `start` and `end` (character positions, end exclusive), for relations
`head_start`, `head_end`, `tail_start`, `tail_end`; `part` if there is one. Without positions the text is classified.
"""

import json
from pathlib import Path

import pandas as pd

from conpet_lib.corpora.example import Corpus, Example, ReadReport, fault, overlap, wanted_path

ADVICE = "Wanted: a .csv, .tsv or .jsonl file with a column for the text and one for the label."
JSON_LINES = (".jsonl", ".ndjson")
GUESSES = {"text": ("text", "sentence", "content"), "label": ("label", "class", "type", "category")}
POSITIONS = {"relation": (("head_start", "head_end"), ("tail_start", "tail_end")), "typing": (("start", "end"),),
             "text": ()}


def read_table(path: str | Path | pd.DataFrame | None = None, text: str = "", label: str = "") -> Corpus:
    """A table, one example a row. `text` and `label` name the columns if they cannot be guessed."""
    if isinstance(path, pd.DataFrame):
        file, table = Path("table"), path
    else:
        file = wanted_path(path, "table", ADVICE)
        table = open_table(file)
    names = {}
    for wanted, given in (("text", text), ("label", label)):
        names[wanted] = next((column for column in table.columns if
                              (column == given if given else str(column).lower() in GUESSES[wanted])), None)
        if names[wanted] is None:
            raise fault(file, [f"no column for the {wanted}; the columns are {', '.join(map(str, table.columns))}"],
                        f"Say which with load_corpus('table', path=..., {wanted}='column').")
    kind = next(kind for kind, pairs in POSITIONS.items()
                if all(column in table.columns for pair in pairs for column in pair))
    report, examples, faults = ReadReport(), [], []
    first = 1 if file.suffix in JSON_LINES else 2                # line 1 of a CSV holds the column names
    for line, row in enumerate(table.to_dict("records"), first):
        words, name = row[names["text"]], row[names["label"]]
        if isinstance(name, float) and name.is_integer():
            name = int(name)                                     # pandas' floats of whole numbers with gaps
        empty = not isinstance(words, str) or not words.strip()
        if empty or pd.isna(name) or not str(name).strip():
            report.skipped["empty text" if empty else "no label"] += 1
            continue
        try:
            spans = tuple((int(row[start]), int(row[end])) for start, end in POSITIONS[kind])
        except (ValueError, TypeError):
            faults.append(f"line {line}: a position is not a whole number")
            continue
        wrong = [span for span in spans if not 0 <= span[0] < span[1] <= len(words)]
        if wrong:
            faults.append(f"line {line}: the span {wrong[0]} does not lie in the text ({len(words)} characters)")
        elif overlap(spans):
            faults.append(f"line {line}: head {spans[0]} and tail {spans[1]} overlap")
        part = None if pd.isna(row.get("part")) else row["part"] or None
        examples.append(Example(key=f"{file.stem}:{line}", text=words, spans=spans, label=str(name).strip(), part=part,
                                source=f"{file.name}, line {line}"))
    if faults:
        raise fault(file, faults, "Positions count characters from 0; the end is exclusive.")
    report.read = len(examples)
    return Corpus(file.stem, kind, examples, report)


def open_table(file: Path) -> pd.DataFrame:
    """The file as a DataFrame, its layout told by its ending."""
    try:      # everything as text: a label "007" or "NA" is a label like others
        if file.suffix in JSON_LINES:
            lines = filter(str.strip, file.read_text(encoding="utf-8-sig").split("\n"))
            return pd.DataFrame(map(json.loads, lines), dtype=object)
        return pd.read_csv(file, sep="\t" if file.suffix == ".tsv" else ",", dtype=str, keep_default_na=False,
                           encoding="utf-8-sig")
    except ValueError as error:
        raise fault(file, [str(error).splitlines()[0]], ADVICE) from None
