"""Runs: a folder with all that one training left; what people cite, load and ask.
In: a folder that `train` wrote. Out: a `Run`: accuracy matrix, predictions, costs, answers to new text.
May import everything left of it in the data flow; training, plots and widgets import it. Start at `load_run`.

    run.json                     what it is of, stages done and their costs, hashes of all files; written last
    predictions/stage-01.parquet the ledger: every test row seen, its label, answer, module, confidence, margin
    replay/stage-01.parquet      which rows were drawn, how often
    modules/0-stage-1/           weights as a PEFT folder, the head beside them; selector likewise
    kept/stage-01.safetensors    what some methods keep beside them, such as the rows of a memory
    checkpoint.safetensors       the stage in training"""

import re
from functools import partial

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Example


def marked(text: str, kind: str) -> Example:
    """An example from a marked string; see `Run.predict`."""
    patterns, hint = {
        "typing": ([r"\[(.+?)\]"], "[span]"),
        "definition": ([r"^([^:]+):"], "noun: definition"),
        "relation": ([r"\[(.+?)\]", r"\{(.+?)\}"], "[head] and {tail}"),
        "text": ([], ""),
    }[kind]
    found = [re.search(pattern, text) for pattern in patterns]
    if not all(found):
        raise ConpetError(f"{text!r}: mark the text as {hint}.")
    bare = partial(re.sub, r"[\[\]{}]", "") if "[" in hint else str
    spans = tuple(
        (len(bare(text[: match.start(1)])), len(bare(text[: match.end(1)]))) for match in found
    )
    return Example(key="given", text=bare(text), spans=spans, label="")
