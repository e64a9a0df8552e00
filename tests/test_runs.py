"""Runs: trained once, resumed to the same bytes, refused where they do not fit, and asked."""

import gc
import json
import os
import platform
import shutil
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import MAIN, make_corpus, make_stream, module_bytes, quick
from transformers import AutoModel

import conpet_lib as cp
from conpet_lib.core.assets import cache_folder
from conpet_lib.core.files import digest
from conpet_lib.models.prefix import PrefixCache
from conpet_lib.runs import holding, marked, restoring
from conpet_lib.runs.record import BackboneRecord, Record, StreamRecord, seal


def never(step) -> bool:
    raise AssertionError(f"something was trained: {step}")


def stop(step) -> bool:
    """An `on_step` that stops at once."""
    return True


@pytest.fixture
def finished(bert, tmp_path):
    """A finished run of three stages, and the call that made it."""

    def call(stream=None, backbone=bert, kind="static", seed=0, on_step=None, **more):
        config = quick(kind, epochs=1, **more)
        stream = stream or make_stream(3)
        return cp.train(stream, backbone, config, seed, tmp_path / "run", on_step, bar=False)

    return call(), call


@pytest.mark.parametrize("kind", MAIN)
def test_the_same_call_loads_a_finished_run_without_training(kind, learned, learnable, bert):
    config = quick(kind, batch_limit=10, epochs=4)
    again = cp.train(learnable, bert, config, folder=learned[kind].folder, on_step=never, bar=False)
    assert again.finished
    assert again.predictions.equals(learned[kind].predictions)
    assert cp.load_run(learned[kind].folder).accuracy_matrix.equals(learned[kind].accuracy_matrix)


@pytest.mark.parametrize(
    "change, field",
    [
        ({"seed": 1}, "seed"),
        ({"max_tokens": 64}, "config.max_tokens"),
        ({"kind": "vanilla"}, "config.learner"),
        ({"learning_rate": 0.5}, "config.learning_rate"),
        ({"batch_limit": None}, "config.batch_limit"),
    ],
)
def test_other_arguments_are_refused_by_the_name_of_the_field(finished, change, field):
    run, call = finished
    before = module_bytes(run)
    with pytest.raises(cp.ConpetError, match=rf"other arguments: .*{field}\b.* there, .* asked"):
        call(**change)
    assert module_bytes(run) == before


def test_another_stream_or_backbone_is_refused(finished, tiny_models):
    _, call = finished
    counts = {"train": 6, "valid": 3, "test": 3}
    other_stream = cp.make_stream(make_corpus(6), 3, 2, **counts, split_seed=1)
    with pytest.raises(cp.ConpetError, match=r"stream\.fingerprint"):
        call(stream=other_stream)
    other_backbone = cp.load_backbone(tiny_models["bert"], 3, device="cpu")
    with pytest.raises(cp.ConpetError, match=r"backbone\.tuned_layers.*2 there, 3 asked"):
        call(backbone=other_backbone)


def test_a_setting_that_is_off_is_no_other_argument(bert, tmp_path):
    config = quick("dynamic", batch_limit=None, epochs=1)
    first = cp.train(make_stream(2), bert, config, folder=tmp_path, bar=False)
    again = cp.train(make_stream(2), bert, config, folder=tmp_path, bar=False, on_step=never)
    assert again.finished
    assert again.record == first.record


def test_a_run_that_is_stopped_before_its_first_stage_can_be_looked_at(bert, tmp_path):
    run = cp.train(make_stream(2), bert, quick(), folder=tmp_path, on_step=stop, bar=False)
    assert not run.finished
    assert "stage 0 of 2" in repr(run)


def test_a_folder_in_use_is_refused_until_its_run_is_finished(finished, bert, tmp_path):
    run, call = finished
    half = tmp_path / "half"
    cp.train(make_stream(2), bert, quick(), folder=half, on_step=stop, bar=False)
    with filelock.FileLock(half / ".lock"), filelock.FileLock(run.folder / ".lock"):
        with pytest.raises(cp.ConpetError, match=r"in use by another process.*folder="):
            cp.train(make_stream(2), bert, quick(), folder=half, bar=False, wait=0.2)
        assert call(on_step=never).finished


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"format": 3, "con', "not a run record"),
        ("[]", "not a run record"),
        ("", "not a run record"),
        ('{"format": 2}', "has format 2;.*reads format 4"),
        (None, "holds no run"),
    ],
)
def test_a_folder_without_a_readable_record_says_what_to_do(finished, content, message):
    run, call = finished
    record = run.folder / "run.json"
    record.unlink()
    message = f"{message}.*rain"  # "train in another folder", "train again"
    if content is not None:
        record.write_text(content)
        with pytest.raises(cp.ConpetError, match=message):
            call()
    with pytest.raises(cp.ConpetError, match=message):
        cp.load_run(run.folder)


@pytest.mark.parametrize("kind", MAIN)
def test_a_loaded_run_answers_as_its_predictions_say(kind, learned, learnable, bert):
    table = learned[kind].predictions.query("stage == 3")
    assert table["predicted"].nunique() > 1
    examples = {example.key: example for example in learnable.examples}
    asked = [examples[key] for key in table["key"]]
    answers = cp.load_run(learned[kind].folder, bert).predict(asked)
    assert answers["label"].tolist() == table["predicted"].tolist()
    assert answers["module"].tolist() == table["module"].tolist()
    assert answers["task"].tolist() == table["chosen_task"].tolist()
    np.testing.assert_allclose(answers["confidence"], table["confidence"], atol=1e-3)


@pytest.mark.parametrize("kind", MAIN)
def test_texts_are_read_in_batches_and_ranked_by_task(kind, learned, learnable, bert, monkeypatch):
    run = cp.load_run(learned[kind].folder, bert)
    rows = np.concatenate([task.test for task in learnable])
    examples = [learnable.examples[row] for row in rows]
    whole = run.predict(examples)
    sizes = []
    answer = cp.LEARNERS[kind].answer

    def recording_answer(self, rows):
        sizes.append(len(rows))
        return answer(self, rows)

    monkeypatch.setattr(cp.LEARNERS[kind], "answer", recording_answer)
    parts = run.predict(examples, batch=7)
    assert sizes == [7] * (len(rows) // 7) + [len(rows) % 7]
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-3)
    assert [sorted(ranking) for ranking in whole["ranking"]] == [[1, 2, 3]] * len(rows)
    assert [ranking[0] for ranking in whole["ranking"]] == whole["task"].tolist()
    fewer_than_rankings = 0 if kind == "vanilla" else 2
    assert whole["ranking"].map(tuple).nunique() > fewer_than_rankings


def test_forgotten_examples_were_right_once_and_are_taken_for_something_else(learned):
    run = learned["vanilla"]
    seen = 0
    for task in (1, 2, 3):
        forgotten = run.forgotten(task).set_index("key")
        rows = run.predictions.query("task == @task")
        # For each example, whether it was right in each stage from its task's on.
        right = (rows["label"] == rows["predicted"]).groupby(rows["key"]).agg(list)
        lost = {key for key, stages in right.items() if any(stages) and not stages[-1]}
        assert set(forgotten.index) == lost
        for key, row in forgotten.iterrows():
            lost_at = row["lost"] - task
            assert not any(right[key][lost_at:])
            assert right[key][lost_at - 1]
            last_answer = rows[rows["key"] == key]["predicted"].iloc[-1]
            assert row["now"] == last_answer
            assert last_answer != row["label"]
        seen += len(forgotten)
    assert seen > 20
    assert run.forgotten(3).empty


def test_an_example_that_comes_and_goes_is_lost_at_its_last_loss(tmp_path):
    # One letter per stage; the label is x.
    answers = {"a": "xyxy", "b": "xxxx", "c": "yyyy", "d": "yxzz"}
    record = Record(
        config={"learner": "static"},
        seed=0,
        stream=StreamRecord("tiny", "typing", "", [["x"]], []),
        backbone=BackboneRecord("", 1, 1, "", "cpu", "torch.float32"),
        stages_done=4,
    )
    rows = []
    for key, letters in answers.items():
        for stage, letter in enumerate(letters, 1):
            row = {"stage": stage, "key": key, "task": 1, "label": "x", "predicted": letter}
            rows.append(row)
    run = cp.runs.Run(tmp_path, record)
    run.predictions = pd.DataFrame(rows)
    assert run.forgotten(1).to_numpy().tolist() == [["a", "x", 4, "y"], ["d", "x", 3, "z"]]


def test_memory_is_a_row_a_stage_and_disk_adds_up_to_the_files(learned):
    for kind, run in learned.items():
        table = run.memory
        assert table.index.tolist() == [1, 2, 3]
        assert (table[["host training", "host inference"]] > 2**20).all(axis=None)
        kinds = ["modules", "predictions", "replay"]
        if kind == "dynamic":
            kinds.append("selector")
        files = [path for path in (run.folder / "modules").rglob("*") if path.is_file()]
        weights = sum(path.stat().st_size for path in files)
        last = table[[f"disk {name}" for name in kinds]].iloc[-1]
        assert last.drop(["disk predictions", "disk replay"]).sum() == weights
        assert (last > 0).all()
        assert (table["disk prefix_cache"].diff().dropna() > 0).all()
    grown = {kind: run.memory["disk modules"].diff().iloc[-1] for kind, run in learned.items()}
    assert grown["dynamic"] > 4 * grown["static"] > 0  # a module a task; a head that grows


def test_a_long_ledger_reads_each_file_once_and_becomes_a_frame_once(finished, monkeypatch):
    run = finished[0]
    stages, rows = 20, 1_000
    one = run.predictions[run.predictions["stage"] == 3]
    one = pd.concat([one] * (rows // len(one) + 1), ignore_index=True).head(rows)
    record = replace(run.record, stages_done=stages)
    for stage in range(1, stages + 1):
        one["key"] = [f"corpus:{number:05}:{stage}" for number in range(rows)]
        path = run.folder / "predictions" / f"stage-{stage:02}.parquet"
        one.assign(stage=stage).to_parquet(path, index=False)
        record.files[f"predictions/{path.name}"] = digest(path.read_bytes())
    joined = []
    concatenate = pa.concat_tables
    monkeypatch.setattr(
        pa, "concat_tables", lambda tables: joined.append(len(tables)) or concatenate(tables)
    )
    ledger = cp.runs.Run(run.folder, record).predictions
    assert joined == [stages], "the files are joined before pandas sees them, and once"
    assert len(ledger) == stages * rows and ledger["stage"].nunique() == stages


def test_a_marked_string_is_the_example_that_it_marks(learned, learnable):
    run = cp.load_run(learned["static"].folder)  # the backbone is found by its name
    examples = [learnable.examples[row] for row in learnable[0].test[:5]]
    ((start, end),) = examples[0].spans
    texts = []
    for example in examples:
        first, after = example.spans[0]
        texts.append(f"[{example.text[first:after]}]{example.text[after:]}")
    assert start == 0
    assert texts[0] != examples[0].text
    assert run.predict([]).empty
    pd.testing.assert_frame_equal(run.predict(texts), run.predict(examples))
    word = texts[0][1 : end + 1]
    later = run.predict([f"north [ledge] {word}", f"north ledge [{word}]"])
    assert later["confidence"].nunique() == 2, "where the span stands makes no difference"
    with pytest.raises(cp.ConpetError, match=r"mark the text as \[span\]"):
        run.predict(["no mark"])


@pytest.mark.parametrize("kind", MAIN)
def test_replayed_counts_add_up_to_the_rows_of_all_steps(kind, learned, learnable):
    run = learned[kind]
    counts = run.replayed.groupby(["stage", "part"])["count"].sum().to_dict()
    rows_drawn = {}
    whole_batches = set()
    for part, entries in run.record.ledgers.items():
        for entry in entries:
            rows_drawn[entry["stage"], part] = entry["rows"]
            assert entry["steps"] == 40
            # The modules of Dynamic ConPET train on a part of each batch.
            if kind != "dynamic" or part == "selector":
                whole_batches.add(entry["rows"])
    assert counts == rows_drawn
    assert whole_batches == {40 * 8}
    task_of = {}
    for number, task in enumerate(learnable, 1):
        for row in task.train:
            task_of[learnable.examples[row].key] = number
    assert [task_of[key] for key in run.replayed["key"]] == run.replayed["task"].tolist()
    assert (run.replayed["task"] <= run.replayed["stage"]).all()


def test_no_file_of_a_run_holds_the_text_of_an_example(learned, learnable):
    texts = {example.text for example in learnable.examples}
    for run in learned.values():
        files = [path for path in run.folder.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} >= {".json", ".parquet", ".safetensors"}
        for path in files:
            content = path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                content += pd.read_parquet(path).to_csv()
            assert not [text for text in texts if text in content], path


def test_the_record_is_json_without_a_trace_of_the_machine(tiny_models, tmp_path, monkeypatch):
    folder = Path(tiny_models["bert"])
    monkeypatch.chdir(folder.parent)
    backbone = cp.load_backbone(folder.name, device="cpu")
    run = cp.train(make_stream(2), backbone, quick("dynamic"), folder=tmp_path / "run", bar=False)
    files = list(run.folder.rglob("*.json"))
    assert json.loads((run.folder / "run.json").read_text()) == run.record.to_json()
    assert len(files) >= 4
    secrets = [str(tmp_path), str(folder.parent), str(Path.home()), platform.node()]
    for path in files:
        content = path.read_text()
        json.loads(content)
        for secret in secrets:
            assert secret not in content, path


def test_a_training_that_has_ended_keeps_no_cache_mapped(bert, tmp_path):
    def caches():
        return [kept for kept in gc.get_objects() if type(kept) is PrefixCache]

    gc.collect()
    others = caches()
    gc.disable()
    try:
        for name in ("static", "dynamic"):
            cp.train(make_stream(2), bert, quick(name), folder=tmp_path / name, bar=False)
        assert [kept for kept in caches() if kept not in others] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("change", [{"tuned_layers": 1}, {"exit_layer": 3}, {"other": True}])
def test_a_run_does_not_answer_with_another_backbone(learned, tiny_models, tmp_path, change):
    folder = tiny_models["bert"]
    if change.pop("other", False):
        folder = shutil.copytree(folder, tmp_path / "other")
        model = AutoModel.from_pretrained(folder)
        model.get_input_embeddings().weight.data[20] += 1
        model.save_pretrained(folder)
    backbone = cp.load_backbone(str(folder), **{"tuned_layers": 2, **change}, device="cpu")
    run = cp.load_run(learned["static"].folder, backbone)
    message = r"trained on a backbone of (tuned_layers|exit_layer|fingerprint)"
    with pytest.raises(cp.ConpetError, match=message):
        run.predict(["[amber] birch"])


def as_format_3(content: dict) -> dict:
    """A record as the version before wrote it."""
    old = {**content, "format": 3, "backbone": {**content["backbone"]}}
    old["config"] = {**content["config"]}
    old["backbone"]["max_tokens"] = old["config"].pop("max_tokens")
    del old["config"]["pet"]
    parts = old.pop("parts")
    old["modules"] = parts["module"]
    (old["selector"],) = parts.get("selector") or [None]
    return {**old, "digest": seal(old)}


@pytest.mark.parametrize("kind", MAIN)
def test_a_run_of_the_format_before_is_loaded_asked_and_not_trained_again(
    kind, learned, learnable, bert, tmp_path
):
    folder = shutil.copytree(learned[kind].folder, tmp_path / "run")
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(as_format_3(content)))
    old = cp.load_run(folder, bert)
    assert old.record == learned[kind].record
    texts = [learnable.examples[row] for row in learnable[0].test[:3]]
    pd.testing.assert_frame_equal(old.predict(texts), learned[kind].predict(texts))
    config = quick(kind, batch_limit=10, epochs=4)
    assert cp.train(learnable, bert, config, folder=folder, on_step=never, bar=False).finished


def test_the_home_sign_is_the_home_folder_wherever_a_path_is_taken(
    tiny_models, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    backbone = cp.load_backbone("~/model", tuned_layers=2, device="cpu")
    config = quick(epochs=1)
    run = cp.train(make_stream(2), backbone, config, folder="~/first", bar=False, cache="~/cache")
    assert (tmp_path / "first" / "run.json").is_file() and (tmp_path / "cache").is_dir()
    assert cp.load_run("~/first").finished and len(cp.runs_table("~")) == 1
    assert run.export("~/exported") == tmp_path / "exported"
    table = cp.grid([make_stream(2)], backbone, [config], [1], "~/grid", processes=1, bar=False)
    assert table["finished"].all() and (tmp_path / "grid").is_dir()
    (tmp_path / "mine.csv").write_text("text,label\na pond,water\na hill,land\n")
    assert len(cp.load_corpus("table", "~/mine.csv").examples) == 2
    assert not Path("~").exists()


def test_one_text_is_a_list_of_one_and_not_of_its_letters(learned, learnable):
    run = learned["static"]
    example = learnable.examples[learnable[0].test[0]]
    (start, end), text = example.spans[0], example.text
    marked_text = f"[{text[start:end]}]{text[end:]}"
    assert len(run.predict(marked_text)) == len(run.predict(example)) == 1
    pd.testing.assert_frame_equal(run.predict(marked_text), run.predict([marked_text]))


def test_a_mark_is_taken_by_its_place_and_other_brackets_stay():
    example = marked("the [Foo] class uses {braces}", "typing")
    assert example.text == "the Foo class uses {braces}" and example.span_texts() == ("Foo",)
    relation = marked("{Oslo} is where (so [Ann] says) it rains", "relation")
    assert relation.text == "Oslo is where (so Ann says) it rains"
    assert relation.span_texts() == ("Ann", "Oslo")
    with pytest.raises(cp.ConpetError, match=r"\[span\], once; it has '\[1\]', '\[Oslo\]'"):
        marked("see [1] for the map of [Oslo]", "typing")


def test_numbers_of_a_task_without_test_rows_belong_to_no_other_task(bert, tmp_path):
    words = ["amber", "birch", "cedar", "delta"]
    rows = []
    for number, word in enumerate(words):
        for row in range(12):
            part = "train" if number == 1 or row < 8 else "valid" if row < 10 else "test"
            rows.append({"text": f"{word} number {row}", "label": word, "part": part})
    stream = cp.make_stream(
        cp.load_corpus("table", pd.DataFrame(rows)),
        labels=[[word] for word in words],
        train=None,
        valid=None,
        test=None,
        order_seed=None,
    )
    run = cp.train(stream, bert, quick(), folder=tmp_path / "run", bar=False)
    matrix = run.accuracy_matrix
    assert list(matrix) == [1, 2, 3, 4] and matrix[2].isna().all()
    assert run.average_accuracy.iloc[-1] == matrix.loc[4, [1, 3, 4]].mean()
    assert not np.isnan(run.forgetting)
    card = (run.export(tmp_path / "exported") / "README.md").read_text()
    assert "| 3 | cedar | 8 | 2 | 2 |" in card and "| 2 | birch | 12 | 0 | 0 |" in card


@pytest.mark.parametrize("untested", [[1], [2], [4], [1, 2], [2, 4], [1, 2, 3, 4]])
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_every_number_belongs_to_its_task_whichever_tasks_have_no_test_rows(
    kind, untested, bert, tmp_path
):
    whole = make_stream(4, 1)
    tasks = list(whole.tasks)
    for number in untested:
        no_rows = np.empty(0, dtype=np.int64)
        tasks[number - 1] = replace(tasks[number - 1], test=no_rows)
    stream = replace(whole, tasks=tuple(tasks))
    run = cp.train(stream, bert, quick(kind), folder=tmp_path / "run", bar=False)
    # what is tested changes nothing of what is trained, so the whole stream has the right values
    right = cp.train(whole, bert, quick(kind), folder=tmp_path / "right", bar=False)
    wanted = right.accuracy_matrix
    wanted[untested] = float("nan")
    pd.testing.assert_frame_equal(run.accuracy_matrix, wanted)
    tested = [number for number in (1, 2, 3, 4) if number not in untested]
    assert run.tested_tasks.tolist() == [sum(n <= stage for n in tested) for stage in (1, 2, 3, 4)]
    for values in (run.average_accuracy, run.whole_accuracy):
        assert values.to_list() == pytest.approx(wanted.mean(axis=1).to_list(), nan_ok=True)
    assert cp.runs_table([run])["tested tasks"].tolist() == [len(tested)]
    over = f"over {len(tested)} of 4 tasks"
    assert over in repr(run)
    card = (run.export(tmp_path / "card") / "README.md").read_text()
    assert over in card
    for number, task in enumerate(stream, 1):
        then, now = "no rows", "no rows"
        if number in tested:
            then, now = (f"{wanted.loc[stage, number]:.3f}" for stage in (number, 4))
        test = len(task.test)
        assert f"| {number} | {task.labels[0]} | 6 | 3 | {test} | {then} | {now} |" in card
    if kind == "dynamic":
        cells = cp.plots.selector_confusion(run).collections[0].get_array().reshape(4, 4)
        assert [bool(row.mask.all()) for row in np.ma.array(cells)] == [
            number in untested for number in (1, 2, 3, 4)
        ]
    ticks = cp.plots.accuracy_heatmaps([run]).get_xticklabels()
    assert ["no rows" in tick.get_text() for tick in ticks] == [
        number in untested for number in (1, 2, 3, 4)
    ]
    panel = cp.widgets.MatrixExplorer(run, task=untested[0])
    assert panel.status.value == f"Task {untested[0]} has no test rows."


def test_an_average_over_all_tasks_says_nothing_of_their_number(bert, tmp_path):
    run = cp.train(make_stream(2), bert, quick(), folder=tmp_path / "run", bar=False)
    assert run.tested_in_words == "" and "over" not in repr(run).split("folder")[0]


def test_a_run_that_another_process_trains_is_waited_for_and_loaded(bert, tmp_path, capsys):
    stream = make_stream(2)
    folder = tmp_path / "run"
    started = threading.Event()
    ended = {}

    def slowly(step):
        started.set()
        time.sleep(0.05)

    def first():  # the lock of a file holds against a thread as against a process
        ended["first"] = cp.train(
            stream, bert, quick(), folder=folder, bar=False, on_step=slowly, checkpoint_every=0.1
        )

    thread = threading.Thread(target=first)
    thread.start()
    started.wait()
    second = cp.train(stream, bert, quick(), folder=folder, on_step=never)
    thread.join()
    assert second.finished and second.record == ended["first"].record
    assert "another process trains this run" in capsys.readouterr().err


def test_a_process_that_stands_still_is_told_after_a_while(bert, tmp_path, monkeypatch):
    """With a clock of its own, so that the minute passes at once."""
    now = [0.0]
    monkeypatch.setattr(holding.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(holding.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    message = r"in use by another process, which has not gone on for 60 seconds.*end it.*folder="
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(cp.ConpetError, match=message),
        holding.held(tmp_path, 60.0, False),
    ):
        pass
    assert 60 <= now[0] < 62
    (tmp_path / "run.json").write_text("{}")
    tries = []

    def go_on(seconds):
        tries.append(seconds)
        now.append(now.pop() + seconds)
        if now[0] < 500:
            os.utime(tmp_path / "run.json", ns=(len(tries), len(tries)))

    monkeypatch.setattr(holding.time, "sleep", go_on)
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(cp.ConpetError, match=message),
        holding.held(tmp_path, 60.0, False),
    ):
        pass
    assert now[0] > 550, "it was waited for while it went on"


@pytest.mark.parametrize("given", ["absolute", "relative", "home", "above"])
def test_a_record_names_no_path_and_the_run_still_finds_its_backbone(
    given, tiny_models, tmp_path, monkeypatch
):
    home = tmp_path / "someone"
    place = shutil.copytree(tiny_models["bert"], home / "private" / "model")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(place.parent)
    names = {
        "absolute": str(place),
        "relative": "./model",
        "home": "~/private/model",
        "above": "../private/model",
    }
    backbone = cp.load_backbone(names[given], tuned_layers=2, device="cpu")
    run = cp.train(make_stream(2), backbone, quick(), bar=False)
    wanted = run.predict(["[amber] birch"])
    for file in run.folder.rglob("*"):
        if file.is_file():
            assert b"private" not in file.read_bytes(), file
    assert run.record.backbone.name == "model"
    assert "private" not in (run.export(tmp_path / "out") / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(restoring, "_places", {})  # as in another process
    pd.testing.assert_frame_equal(cp.load_run(run.folder).predict(["[amber] birch"]), wanted)
    # the same call goes to the same folder, and takes the run as its own
    assert cp.train(make_stream(2), backbone, quick(), bar=False, on_step=never).finished
    shutil.rmtree(cache_folder() / "backbones")
    monkeypatch.setattr(restoring, "_places", {})
    monkeypatch.setattr("conpet_lib.models.reading._hub_answers", lambda: False)
    with pytest.raises(cp.ConpetError, match=r"trained on the backbone 'model'.*load_run\(folder"):
        cp.load_run(run.folder).predict(["[amber] birch"])


def test_a_record_of_a_former_version_that_names_a_path_is_loaded_and_gone_on_with(bert, tmp_path):
    run = cp.train(make_stream(2), bert, quick(), folder=tmp_path / "run", bar=False)
    content = json.loads((run.folder / "run.json").read_text())
    content["backbone"]["name"] = bert.name
    (run.folder / "run.json").write_text(json.dumps({**content, "digest": seal(content)}))
    assert cp.load_run(run.folder).predict(["[amber] birch"]) is not None
    again = cp.train(make_stream(2), bert, quick(), folder=run.folder, on_step=never, bar=False)
    assert again.finished


def test_what_is_asked_is_not_kept_unless_it_is_wanted(learned, bert, tmp_path, monkeypatch):
    monkeypatch.setenv("CONPET_CACHE", str(tmp_path / "cache"))
    run = cp.load_run(learned["dynamic"].folder, bert)
    wanted = run.predict(["[amber] birch number 7"])
    assert not list(tmp_path.rglob("*.sqlite"))
    pd.testing.assert_frame_equal(run.predict(["[amber] birch number 7"], keep=True), wanted)
    assert [path.name for path in tmp_path.rglob("*.sqlite")] == ["prefix.sqlite"] or list(
        tmp_path.rglob("logits.sqlite")
    )
    before = (tmp_path / "cache" / "prefix.sqlite").read_bytes()
    run.predict(["[cedar] delta"])
    assert (tmp_path / "cache" / "prefix.sqlite").read_bytes() == before


def test_a_name_on_the_hub_is_refused_quickly_without_a_network(monkeypatch):
    tries = []

    class Session:
        def head(self, url, timeout):
            tries.append((url, timeout))
            raise OSError("no network")

    monkeypatch.setattr("conpet_lib.models.reading.get_session", Session)
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cp.ConpetError, match=r"hub does not answer.*minilm-l6"):
            cp.load_backbone("bert-that-nobody-has")
    assert len(tries) == 1 and tries[0][1] <= 5 and time.monotonic() - start < 30


def test_a_log_gets_a_line_per_minute_and_not_one_per_step(bert, tmp_path, capsys):
    run = cp.train(
        make_stream(2), bert, quick(batch_limit=30), folder=tmp_path, checkpoint_every=1000
    )
    lines = capsys.readouterr().err.splitlines()
    assert run.finished
    minutes = sum(sum(cost["wall"].values()) for cost in run.costs) / 60
    assert 1 <= len(lines) <= 3 + minutes
    assert "100%" in lines[-1] and not any("\r" in line for line in lines)
