"""One form for the examples of every corpus, and one way from a path as it was handed out to a checked `Corpus`.
In: a path, and what reads one file. Out: a `Corpus`, or one ConpetError with every fault. By which signs a layout is
told, and what to get, is data: `data/corpora.json`. Knows no layout itself. Start at `read_corpus`."""

import gc
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib.core.files import write_atomically
from conpet_lib.corpora.example import Corpus, Example, ReadReport


def store(file: Path, corpus: Corpus) -> None:
    """Keep a corpus as Parquet, each page with its checksum."""
    columns = {name: [getattr(one, name) for one in corpus.examples] for name in Example.__slots__}
    about = json.dumps([corpus.name, corpus.kind, asdict(corpus.report), corpus.groups])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        file,
        lambda name: pq.write_table(
            pa.table(columns, metadata={"about": about}), name, write_page_checksum=True
        ),
    )


def load_stored(file: Path) -> Corpus | None:
    """A corpus that was kept; None if there is none, or a damaged one."""
    collecting = gc.isenabled()
    gc.disable()  # half a million examples hold no cycles; looking for some doubles the time
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        name, kind, report, groups = json.loads(table.schema.metadata[b"about"])
        report = {
            key: Counter(value) if isinstance(value, dict) else value
            for key, value in report.items()
        }
        columns = {
            name: column.to_pylist() for name, column in zip(table.column_names, table.columns)
        }
        columns["spans"] = (tuple(map(tuple, spans)) for spans in columns["spans"])
        return Corpus(name, kind, [*map(Example, *columns.values())], ReadReport(**report), groups)
    except (OSError, pa.ArrowException):
        return None
    finally:
        (gc.enable if collecting else gc.disable)()
