"""Arguments: whatever is given to a public function is refused in words of ours, or it works."""

import inspect
import json
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import partial
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
from conpet_lib.analysis.repair import SelectorBench
from conpet_lib.core.arguments import checked
from conpet_lib.corpora import READERS, Corpus, Example, ReadReport
from conpet_lib.learners import StaticConPET
from conpet_lib.learners.methods import METHODS
from conpet_lib.runs import marked
from conpet_lib.runs.run import Run

SMALL = {"epochs": 1, "batch_limit": 1, "batch_size": 4, "valid_examples": 4}
TEXT = "[amber] north number 1"


@pytest.fixture(scope="module")
def things(tiny_models, tmp_path_factory) -> SimpleNamespace:
    """Right arguments of all kinds, the smallest that there are."""
    folder = tmp_path_factory.mktemp("things")
    stream = make_stream(2, 2, rows=8)
    bert = cp.load_backbone(tiny_models["bert"], tuned_layers=1, device="cpu")
    configs = [quick("dynamic", **SMALL), quick("static", **SMALL), quick("ridge", **SMALL)]
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
        bench=cp.selector_bench(runs[0], stream),
        matrix=runs[0].accuracy_matrix,
        ledger=runs[0].predictions,
        places=(folder / f"dropped-{number}" for number in count()),
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
        "a function": lambda *given, **named: None,
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
    "register_reader": lambda things: {"reader": replace(READERS["table"], name="own")},
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
    "drop_task": lambda things: {
        "run": things.runs[2],
        "stream": things.stream,
        "task": 1,
        "folder": next(things.places),
    },
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
    "noise_floor": lambda things: {**streaming(things), "seed": 1},
    "dry_run": lambda things: {
        "model": things.backbone.model.config,
        "stream": things.stream,
        "config": things.config,
    },
    "compare_selectors": lambda things: {"run": things.run, "stream": things.stream},
    "selector_bench": lambda things: {"run": things.run, "stream": things.stream},
    "SelectorBench.try_out": lambda things: {"self": things.bench},
    "SelectorBench.frontier": lambda things: {"self": things.bench, "points": 3},
    "forgetting_split": lambda things: {"run": things.run, "stream": things.stream},
    "lost_rows": lambda things: {"run": things.run, "stream": things.stream},
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
    "plots.forgetting_causes": lambda things: {"runs": things.runs},
    "plots.accuracy_heatmaps": lambda things: {"runs": things.runs},
    "plots.repair_frontier": lambda things: {"frontier": things.bench.frontier(3)},
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
    "plots.run_looks": lambda things: {"runs": things.runs},
    "plots.run_names": lambda things: {"runs": things.runs},
    "plots.titled": lambda things: {"ax": things.ax, "title": "title"},
    "metrics.is_right": lambda things: {"predictions": things.ledger},
    "metrics.accuracy_matrix": lambda things: {"predictions": things.ledger},
    "metrics.tested_tasks": lambda things: {"R": things.matrix},
    "metrics.average_accuracy": lambda things: {"R": things.matrix},
    "metrics.whole_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.forgetting": lambda things: {"R": things.matrix},
    "metrics.backward_transfer": lambda things: {"R": things.matrix},
    "metrics.intransigence": lambda things: {"R": things.matrix, "joint": things.matrix},
    "metrics.selector_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.oracle_accuracy": lambda things: {"predictions": things.ledger},
    "metrics.forgetting_causes": lambda things: {"predictions": things.ledger},
    "metrics.forgetting_split": lambda things: {"predictions": things.ledger},
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
    for kind in (Run, SelectorBench):
        for name, value in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}", value


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
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if type(error) is ValueError and raised_in.parent == Path(cp.metrics.__file__).parent:
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


# The one fetches assets, and the other is what all configurations share.
@pytest.mark.parametrize("name", sorted(set(CALLABLES) - {"check_machine", "LearnerConfig"}))
def test_right_arguments_work(name, things, nothing_stays):
    CALLABLES[name](**right_arguments(name, things))


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


def refused(call: Callable[[], object]) -> str:
    """The words in which a call is refused."""
    with pytest.raises(cp.ConpetError) as told:
        call()
    return str(told.value)


def test_numbers_of_numpy_give_the_records_that_plain_numbers_give(things, tmp_path):
    plain = {"tasks": 2, "labels_per_task": 2, "train": 4, "valid": 2, "test": 2, "split_seed": 3}
    of_numpy = {name: np.int64(value) for name, value in plain.items()}
    streams = [cp.make_stream(things.corpus, **given) for given in (plain, of_numpy)]
    assert streams[0].fingerprint == streams[1].fingerprint
    settings = {"rank": 2, "alpha": 4.0, "learning_rate": 0.5, "batch_limit": 1, "epochs": 1}
    types = {"rank": np.int32, "alpha": np.float64, "learning_rate": np.float32}
    types |= {"batch_limit": np.uint8, "epochs": np.int64}
    configs = [
        cp.StaticConfig(**settings),
        cp.StaticConfig(**{name: types[name](value) for name, value in settings.items()}),
    ]
    assert repr(configs[0]) == repr(configs[1])
    assert json.dumps(configs[0].as_record()) == json.dumps(configs[1].as_record())
    runs = []
    for number, seed in enumerate((1, np.int64(1))):
        place = tmp_path / str(number)
        given = (streams[number], things.backbone, configs[number], seed, place)
        runs.append(cp.train(*given, bar=np.bool_(False)))
    assert runs[0].record.identity() == runs[1].record.identity()
    assert type(cp.load_run(tmp_path / "1").record.seed) is int
    grid = {**things.grid, "folder": tmp_path / "grid"}
    table = cp.grid(streams[:1], things.backbone, configs[:1], np.arange(1, 2), **grid)
    assert table["seed"].tolist() == [1] and table["finished"].all()


def test_whole_numbers_stay_whole_where_a_number_is_asked():
    assert json.dumps(cp.StaticConfig(alpha=8).as_record()["alpha"]) == "8"


def test_label_lists_may_be_generators_arrays_and_series(things):
    wanted = things.stream.labels
    pairs = [list(wanted[:2]), list(wanted[2:])]
    counts = {"train": 4, "valid": 2, "test": 2, "order_seed": None}
    plain = cp.make_stream(things.corpus, labels=pairs, **counts)
    others = {
        "generators": ((label for label in pair) for pair in pairs),
        "an array": np.array(pairs),
        "Series": [pd.Series(pair) for pair in pairs],
        "tuples": tuple(map(tuple, pairs)),
    }
    for name, labels in others.items():
        stream = cp.make_stream(things.corpus, labels=labels, **counts)
        assert stream.fingerprint == plain.fingerprint, name
        assert {type(label) for label in stream.labels} == {str}, name


@pytest.mark.parametrize(
    "given, message",
    [
        ({"tasks": 2.0}, r"make_stream\(tasks=2\.0\): tasks must be a whole number"),
        ({"tasks": True}, "tasks must be a whole number"),
        ({"train": -1}, "train=-1: train is a number of examples per label, a whole number from 1"),
        ({"train": 0.6}, r"train=0\.6: train is a number of examples .*Shares are not taken"),
        ({"test": 0}, "test=0: test is a number of examples per label, a whole number from 1"),
        ({"valid": -1}, "valid=-1: valid is a number of examples per label, a whole number from 0"),
        ({"split_seed": float("nan")}, "split_seed must be a whole number"),
        ({"labels": [[1, 2], [3, 4]]}, r"labels\[0\]\[0\]=1\): .* must be a text"),
        ({"labels": [["a", ("b",)]]}, r"labels\[0\]\[1\]=\('b',\)\): .* must be a text"),
        ({"labels": [[True]]}, "must be a text"),
        ({"labels": [["\ud800"]]}, "a text without halves of signs"),
        ({"labels": ["a", "b"]}, r"labels\[0\]='a'\): labels\[0\] must be a list of texts"),
        ({"labels": [{"a", "b"}]}, r"labels\[0\] must be a list of texts"),
        ({"split": ""}, "Unknown split"),
    ],
)
def test_the_shape_of_a_stream_is_checked_before_it_is_drawn(things, given, message):
    with pytest.raises(cp.ConpetError, match=message):
        cp.make_stream(things.corpus, **given)


def test_a_generator_that_never_ends_is_refused(things, monkeypatch):
    monkeypatch.setattr("conpet_lib.core.kinds.MOST_ITEMS", 1000)
    said = refused(lambda: cp.make_stream(things.corpus, labels=(["a"] for _ in count())))
    assert "at most 1,000 of them" in said


def test_a_class_a_name_or_a_corpus_in_the_place_of_a_thing_is_answered_with_what_makes_it(things):
    stream, backbone, config = streaming(things).values()
    said = refused(lambda: cp.train(stream, backbone, cp.StaticConfig))
    assert "train(config=StaticConfig): config must be a LearnerConfig" in said
    assert "StaticConfig is a class: StaticConfig() makes one of it." in said
    assert "as cp.method" in refused(lambda: cp.train(stream, backbone, "static"))
    assert "a Backbone, as cp.load_backbone" in refused(lambda: cp.train(stream, "bert", config))
    said = refused(lambda: cp.forecast(things.corpus, backbone, config))
    assert "forecast(stream=<Corpus>): stream must be a Stream, as cp.make_stream" in said
    assert "a Run, as cp.train" in refused(lambda: cp.plots.selector_bound("runs/dynamic-0"))
    assert "Take that of a method" in refused(cp.LearnerConfig)


def test_one_where_a_list_is_asked_goes_into_brackets(things):
    stream, backbone, config = streaming(things).values()
    said = refused(lambda: cp.grid(stream, backbone, [config], [0]))
    assert "streams must be a list, each item a Stream" in said and "streams=[...]" in said
    assert "configs=[...]" in refused(lambda: cp.grid([stream], backbone, config, [0]))
    said = refused(lambda: cp.grid([stream], backbone, [config], 3))
    assert "seeds=3): seeds must be a list of whole numbers, such as range(3)." in said
    assert "runs=[...]" in refused(lambda: cp.runs_table(things.run))
    assert cp.plots.forgetting_curves(things.run).lines  # one alone is a list of one
    assert "one run or more" in refused(lambda: cp.plots.forgetting_curves([]))


def test_names_that_there_are_not_are_told_with_the_nearest(things):
    said = refused(lambda: cp.method("static", rnk=2))
    assert "Unknown setting of StaticConfig 'rnk'. Did you mean 'rank'?" in said
    assert "'rank'" in refused(lambda: cp.StaticConfig(rnk=2))
    assert "'rank'" in refused(lambda: cp.paper(cp.StaticConfig, "fewrel", rnk=2))
    said = refused(lambda: cp.register("mine", StaticConPET, color=2))
    assert "Did you mean 'colour'" in said
    assert "0 to 9" in refused(lambda: cp.register("mine", StaticConPET, colour=10))
    assert "marker must be one" in refused(lambda: cp.register("mine", StaticConPET, marker="no"))
    assert "mine" not in METHODS
    said = refused(lambda: cp.plots.replayed(things.run, "modul"))
    assert "Did you mean 'module'" in said
    said = refused(lambda: cp.plots.frontier(things.runs, "secnds"))
    assert "Did you mean 'seconds'" in said
    assert "Unknown side 'tset'" in refused(lambda: things.stream[0].rows("tset"))


@pytest.mark.parametrize("setting", ["alpha", "learning_rate", "epsilon", "weight_decay"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), 10**400])
def test_settings_are_finite(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must be a finite number"):
        cp.StaticConfig(**{setting: value})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"alpha": "8"}, r"StaticConfig\(alpha='8'\): alpha must be above 0"),
        ({"alpha": True}, "alpha must be above 0"),
        ({"rank": 2.0}, "rank must be a whole number of 1 or more"),
        ({"limit_first": "no"}, "limit_first must be True or False"),
        ({"max_tokens": None}, "max_tokens must be a whole number of 1 or more"),
        ({"pet": None}, "pet must be a text"),
        ({"targets": "query"}, "targets must be a tuple of names"),
        ({"targets": ("query", 1)}, r"targets\[1\] must be a text"),
    ],
)
def test_settings_are_of_their_types(given, message):
    with pytest.raises(ValueError, match=message):
        cp.StaticConfig(**given)


def test_stages_that_are_not_done_are_refused_with_those_that_are(things):
    for plot in (cp.plots.calibration, cp.plots.selector_confusion):
        for stage in (0, 3, -1):
            assert "stage must be 1 to 2" in refused(partial(plot, things.run, stage))
    assert "task must be 1 to 2" in refused(lambda: things.run.forgotten(3))
    assert "stage must be 1 to 2" in refused(lambda: things.run.forgotten(1, stage=0))


def test_one_text_is_one_and_lists_of_texts_may_be_of_any_kind(things):
    one = things.run.predict(TEXT)
    assert len(one) == 1
    for texts in ((TEXT for _ in "ab"), np.array([TEXT, TEXT]), pd.Series([TEXT, TEXT])):
        assert things.run.predict(texts)["label"].tolist() == [one["label"][0]] * 2
    assert things.run.predict([]).columns.tolist() == one.columns.tolist()
    assert "batch must be a whole number of 1" in refused(lambda: things.run.predict([TEXT], 0))
    assert "texts must be a list, each item" in refused(lambda: things.run.predict(None))
    assert "halves of signs" in refused(lambda: things.run.predict("[amber] \ud800"))
    bare = Example("a key", "amber", (), "")
    said = refused(lambda: things.run.predict([bare]))
    assert "'a key' has 0 spans, and this run takes 1: [span]" in said


@pytest.mark.parametrize("label", [1, 1.5, True, None, ("a", "b"), ["a"], b"a", "\ud800"])
def test_labels_of_a_corpus_are_texts(label):
    examples = [Example("1", "amber", (), "a"), Example("2", "birch", (), label)]
    said = refused(lambda: Corpus("own", "text", examples, ReadReport()))
    assert "examples[1].label must be a text" in said


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no clock of the processor's time")
@pytest.mark.parametrize("text", ["[" * 10**6, "{" * 10**6, "[a" * 500_000, "[\n" * 500_000])
@pytest.mark.parametrize("kind", ["typing", "relation"])
def test_marks_are_looked_for_in_one_pass(text, kind):
    def too_long(number, frame):
        raise TimeoutError("a minute of the processor's time, of which no other process takes any")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, 60)
    try:
        said = refused(lambda: marked(f"{text} words", kind))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert "mark the text as [" in said and len(said) < 1000


def test_a_short_form_that_breaks_is_named(things):
    said = refused(lambda: cp.check_answer_row(things.backbone, lambda layer: None))
    assert "the short form raises TypeError" in said


def test_what_is_no_matrix_and_no_ledger_is_refused_by_metrics(things):
    for R in (None, [], [1.0], "R", [["a"]], things.run, np.zeros((5, 1))):
        with pytest.raises(ValueError, match="R must be an accuracy matrix"):
            cp.metrics.forgetting(R)
    with pytest.raises(ValueError, match=r"R is of shape \(2, 2\), joint of \(3, 3\)"):
        cp.metrics.intransigence(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="lacks the columns 'true_module_active'"):
        cp.metrics.error_split(things.ledger.drop(columns="true_module_active"))


def test_columns_that_there_are_not_are_named_with_those_that_are(things):
    table = things.table
    assert "Unknown column 'rnk'" in refused(lambda: cp.compare(table, by="rnk"))
    assert "by must be a setting" in refused(lambda: cp.compare(table, by="seed"))
    said = refused(lambda: cp.compare(table, measure="corpus"))
    assert "measure must be a column of numbers" in said
    said = refused(lambda: cp.plots.ablation(table.drop(columns="seed"), "rank"))
    assert "table lacks the columns seed; it has folder" in said
    said = refused(lambda: cp.plots.selector_map(things.points, marked=99))
    assert "no such row" in said


def test_a_function_behind_its_door_is_the_function():
    @checked
    def halve(number: int, by: "Fraction | int" = 2) -> float:  # noqa: F821 - known by its name
        """Half of it."""
        return number / by

    assert halve.__doc__ == "Half of it."
    assert list(inspect.signature(halve).parameters) == ["number", "by"]
    assert halve(np.int64(3)) == 1.5
    with pytest.raises(cp.ConpetError, match="by must be a Fraction, or a whole number"):
        halve(3, by="2")
    with pytest.raises(TypeError, match="unexpected keyword argument 'bye'"):
        halve(3, bye=2)
