"""Arguments: whatever is given to a public function is refused in words of ours, or it works."""

import inspect
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_corpus, make_stream, quick
from matplotlib.axes import Axes

import conpet_lib as cp
from conpet_lib.core.arguments import checked
from conpet_lib.corpora import READERS, Corpus, Example, ReadReport
from conpet_lib.learners import StaticConPET
from conpet_lib.learners.methods import METHODS
from conpet_lib.runs.run import Run

SMALL = {"epochs": 1, "batch_limit": 1, "batch_size": 4, "valid_examples": 4}
TEXT = "[amber] north number 1"


@pytest.fixture(scope="module")
def things(tiny_models, tmp_path_factory) -> SimpleNamespace:
    """Right arguments of all kinds, the smallest that there are."""
    folder = tmp_path_factory.mktemp("things")
    stream = make_stream(2, 2, rows=8)
    bert = cp.load_backbone(tiny_models["bert"], tuned_layers=1, device="cpu")
    configs = [quick("dynamic", **SMALL), quick("static", **SMALL)]
    options = {"bar": False, "cache": folder / "cache"}
    runs = []
    for config in configs:
        place = folder / config.learner
        runs.append(cp.train(stream, bert, config, folder=place, **options))
    # a grid's own place, so that its run is there already
    grid = {"folder": folder / "grid", "processes": 1, **options}
    cp.grid([stream], bert, configs[:1], [0], **grid)
    (folder / "rows.csv").write_text("text,label\na b,x\nc d,y\ne f,x\ng h,y\n")
    ax = cp.plots.axes()[0]
    ax.plot([0, 1], label="line")
    ax.legend()
    return SimpleNamespace(
        folder=folder,
        models=tiny_models,
        corpus=make_corpus(4, 8),
        stream=stream,
        backbone=bert,
        config=configs[0],
        run=runs[0],
        runs=runs,
        table=cp.runs_table(runs),
        points=cp.selector_points(runs[0], stream),
        matrix=runs[0].accuracy_matrix,
        ledger=runs[0].predictions,
        grid=grid,
        ax=ax,
        numbers=pd.DataFrame({"a": [1.0]}),
    )


def wrong_values(things: SimpleNamespace) -> dict[str, Any]:
    """What people give by mistake, by its name; nearly every value is wrong nearly everywhere."""
    numbers = {
        "True": True,
        "numpy's True": np.bool_(True),
        "zero": 0,
        "minus one": -1,
        "two point nought": 2.0,
        "a share": 0.6,
        "not a number": float("nan"),
        "infinity": float("inf"),
        "numpy's infinity": np.float32("inf"),
        "numpy's one": np.int64(1),
        "numpy's half": np.float32(0.5),
        "a huge number": 10**30,
        "a complex number": 1j,
    }
    texts = {
        "an empty text": "",
        "another text": "no such thing!",
        "half a sign": "\ud800",
        "a text with NUL": "a\0b",
        "a long text": "x" * 5000,
        "bytes": b"static",
        "a path": Path("no such folder"),
        "a user's home": "~nobody-of-this-name/runs",
    }
    lists = {
        "an empty list": [],
        "an empty tuple": (),
        "an empty dict": {},
        "a list of None": [None],
        "a list of texts": ["a", "b"],
        "lists of numbers": [[1, 2], [3, 4]],
        "a set": {"a"},
        "an array": np.array([0]),
        "an array of no dimension": np.array(1),
        "a Series": pd.Series([1.5]),
        "an empty table": pd.DataFrame(),
        "another table": pd.DataFrame({"a": ["b"], 1: [2]}),
    }
    objects = {
        "None": None,
        "an object": object(),
        "a function": lambda *given: None,
        "a class": cp.StaticConfig,
        "a type": int,
        "a config": things.config,
        "a stream": things.stream,
        "a corpus": things.corpus,
        "a backbone": things.backbone,
        "a run": things.run,
    }
    return numbers | texts | lists | objects


def streaming(things: SimpleNamespace) -> dict[str, Any]:
    """What most functions begin with."""
    return {"stream": things.stream, "backbone": things.backbone, "config": things.config}


# The right arguments of every public function, by name; one of them is wrong at a time.
RIGHT: dict[str, Callable[[SimpleNamespace], dict[str, Any]]] = {
    "check_machine": lambda things: {},
    "methods": lambda things: {},
    "load_corpus": lambda things: {"name": "table", "path": things.folder / "rows.csv"},
    "register_reader": lambda things: {"reader": SimpleNamespace()},
    "check_reader": lambda things: {
        "reader": READERS["table"],
        "path": things.folder / "rows.csv",
    },
    "make_stream": lambda things: {
        "corpus": things.corpus,
        "tasks": 2,
        "labels_per_task": 2,
        "train": 4,
        "valid": 2,
        "test": 2,
    },
    "load_backbone": lambda things: {"name": things.models["bert"], "device": "cpu"},
    "check_adapter": lambda things: {"kind": "lora", "backbone": things.backbone},
    "check_answer_row": lambda things: {"backbone": things.backbone},
    "paper": lambda things: {"learner": cp.StaticConfig, "corpus": "fewrel"},
    "Learner": lambda things: {
        "stream": things.stream,
        "features": None,
        "config": things.config,
        "seed": 0,
    },
    "Step": lambda things: {"stage": 1, "stages": 2, "doing": "module", "done": 1, "total": 2},
    "method": lambda things: {"name": "static"},
    "register": lambda things: {"name": "patient", "learner": StaticConPET},
    "check_learner": lambda things: {
        "config": things.config,
        "stream": things.stream,
        "backbone": things.backbone,
    },
    "train": lambda things: {**streaming(things), "folder": things.run.folder, "bar": False},
    "load_run": lambda things: {"folder": things.run.folder},
    "grid": lambda things: {
        "streams": [things.stream],
        "backbone": things.backbone,
        "configs": [things.config],
        "seeds": [0],
        **things.grid,
    },
    "runs_table": lambda things: {"runs": things.runs},
    "compare": lambda things: {"runs": things.runs},
    "compare_costs": lambda things: {"one": things.runs[0], "other": things.runs[1]},
    "forecast": lambda things: {**streaming(things), "calibrate": False},
    "compare_selectors": lambda things: {"run": things.run, "stream": things.stream},
    "selector_points": lambda things: {"run": things.run, "stream": things.stream},
    "Run.predict": lambda things: {"self": things.run, "texts": [TEXT]},
    "Run.forgotten": lambda things: {"self": things.run, "task": 1},
    "Run.reading": lambda things: {"self": things.run, "examples": things.stream.examples},
    "Run.export": lambda things: {"self": things.run, "folder": things.folder / "exported"},
    "Run.stage_of": lambda things: {"self": things.run, "stage": 1},
    "Run.summary": lambda things: {"self": things.run},
    "plots.ablation": lambda things: {"table": things.table, "by": "learner"},
    "plots.average_curves": lambda things: {"runs": things.runs},
    "plots.forgetting_curves": lambda things: {"runs": things.runs},
    "plots.accuracy_heatmaps": lambda things: {"runs": things.runs},
    "plots.frontier": lambda things: {"runs": things.runs},
    "plots.axes": lambda things: {},
    "plots.calibration": lambda things: {"run": things.run},
    "plots.class_counts": lambda things: {"corpus": things.corpus},
    "plots.heatmap": lambda things: {
        "table": things.numbers,
        "ax": things.ax,
        "says": "percent",
        "title": "title",
    },
    "plots.learner_look": lambda things: {"learner": "static"},
    "plots.looks": lambda things: {"run": things.run},
    "plots.lost_labels": lambda things: {"run": things.run},
    "plots.paired": lambda things: {"one": things.runs[0], "other": things.runs[1]},
    "plots.png": lambda things: {"ax": things.ax, "scale": 1},
    "plots.replayed": lambda things: {"run": things.run},
    "plots.selector_bound": lambda things: {"run": things.run},
    "plots.selector_confusion": lambda things: {"run": things.run},
    "plots.selector_map": lambda things: {"points": things.points},
    "plots.stream_picture": lambda things: {"stream": things.stream},
    "plots.titled": lambda things: {"ax": things.ax, "title": "title"},
    "metrics.is_right": lambda things: {"predictions": things.ledger},
    "metrics.accuracy_matrix": lambda things: {"predictions": things.ledger},
    "metrics.average_accuracy": lambda things: {"R": things.matrix},
    "metrics.whole_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.forgetting": lambda things: {"R": things.matrix},
    "metrics.backward_transfer": lambda things: {"R": things.matrix},
    "metrics.intransigence": lambda things: {"R": things.matrix, "joint": things.matrix},
    "metrics.selector_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.oracle_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.error_split": lambda things: {"predictions": things.ledger},
    "metrics.calibration": lambda things: {"predictions": things.ledger},
}


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, class and method of a run; not what is of another library."""
    for name in cp._HOMES:
        value = getattr(cp, name)
        if callable(value) and not (isinstance(value, type) and issubclass(value, Exception)):
            yield name, value
    for name in cp.plots.__all__:
        value = getattr(cp.plots, name)
        if callable(value) and value is not Axes:
            yield f"plots.{name}", value
    for name, value in inspect.getmembers(cp.metrics, inspect.isfunction):
        if not name.startswith("_"):
            yield f"metrics.{name}", value
    for name, value in inspect.getmembers(Run, inspect.isfunction):
        if not name.startswith("_"):
            yield f"Run.{name}", value


CALLABLES = dict(public_callables())


def right_arguments(name: str, things: SimpleNamespace) -> dict[str, Any]:
    """A call that works; a configuration works as it is."""
    if name in RIGHT:
        return RIGHT[name](things)
    assert is_dataclass(CALLABLES[name]), f"{name} is public: give its right arguments in RIGHT."
    return {}


def arguments_of(name: str) -> list[str]:
    """The arguments that can be wrong."""
    function = CALLABLES[name]
    if name not in RIGHT and is_dataclass(function):
        return [each.name for each in fields(function)]
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind not in variable and one.name != "self"]


def fault_of(call: Callable[[], object]) -> str:
    """What is wrong with a call: it neither returns nor is refused in words of ours."""
    try:
        call()
    except cp.ConpetError:
        return ""
    except Exception as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if type(error) is ValueError and raised_in == cp.metrics.__file__:
            return ""  # metrics imports nothing of ours, so that its errors are plain
        return f"{type(error).__name__}: {str(error)[:200]} ({raised_in})"
    return ""


@pytest.fixture
def nothing_stays(tmp_path, monkeypatch):
    """What a call writes into the working folder, or registers, goes with the test."""
    monkeypatch.chdir(tmp_path)
    readers, methods = dict(READERS), dict(METHODS)
    yield
    for table, before in ((READERS, readers), (METHODS, methods)):
        table.clear()
        table.update(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLABLES)
def test_a_wrong_argument_is_refused_in_words_of_ours_or_works(name, things, nothing_stays):
    function = CALLABLES[name]
    faults = {}
    for argument in arguments_of(name):
        for value_name, value in wrong_values(things).items():
            given = {**right_arguments(name, things), argument: value}
            fault = fault_of(lambda given=given: function(**given))
            if fault:
                faults[f"{name}({argument}={value_name})"] = fault
    assert faults == {}
