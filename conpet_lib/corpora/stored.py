"""Stored corpora: what was read once, as a Parquet file in the user's cache.

In: a key (a hash of the files, the readers' version and the options) and a `Corpus`. Out: the same `Corpus`.
A file's name holds the hash of its bytes, so that a damaged one is noticed and made anew.
"""

import json
from collections import Counter
from itertools import repeat

import pyarrow as pa
import pyarrow.parquet as pq

from conpet_lib.assets import cache_folder
from conpet_lib.corpora.example import Corpus, Example, ReadReport
from conpet_lib.files import digest, write_atomically

SPANS = {"relation": 2, "text": 0}                    # of an example; 1 in any other kind
FIELDS = ("key", "source", "text", "label", "part", "sentence")


def store(key: str, corpus: Corpus) -> None:
    """Write a corpus."""
    columns = {name: pa.array([getattr(one, name) for one in corpus.examples], pa.string()) for name in FIELDS}
    spans = pa.array([sum(one.spans, ()) for one in corpus.examples], pa.list_(pa.int32()))
    about = [corpus.name, corpus.kind, vars(corpus.report), corpus.groups]
    stream = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, "spans": spans}, metadata={"about": json.dumps(about)}), stream)
    data = memoryview(stream.getvalue())
    write_atomically(cache_folder() / "corpora" / f"{key}-{digest(data)}.parquet", lambda name: name.write_bytes(data))


def load_stored(key: str) -> Corpus | None:
    """The corpus stored under a key; None if there is none, or only a damaged one."""
    for file in (cache_folder() / "corpora").glob(f"{key}-*.parquet"):
        data, same = file.read_bytes(), {}
        if file.stem == f"{key}-{digest(data)}":
            table = pq.read_table(pa.py_buffer(data))
            name, kind, report, groups = json.loads(table.schema.metadata[b"about"])
            ends = iter(table["spans"].combine_chunks().flatten().to_pylist())
            spans = zip(*[zip(ends, ends)] * SPANS.get(kind, 1)) if kind != "text" else repeat(())
            keys, sources, *texts = (table[name].to_pylist() for name in FIELDS)
            texts = [[same.setdefault(text, text) for text in column] for column in texts]     # one str for all repeats
            examples = [Example(key=one, source=source, text=text, label=label, part=part, sentence=sentence, spans=two)
                        for one, source, text, label, part, sentence, two in zip(keys, sources, *texts, spans)]
            counts = {field: Counter(report[field]) for field in ("skipped", "merged", "unknown")}
            return Corpus(name, kind, examples, ReadReport(**report | counts), groups)
        file.unlink(missing_ok=True)
    return None
