"""A task that is dropped: what is left never saw it, and what cannot be dropped is refused."""

import numpy as np
import pytest
import torch
from conftest import make_stream, quick

import conpet_lib as cp
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream

DYNAMIC = {"selector": "exact"}


def without(stream, task):
    tasks = [each for number, each in enumerate(stream, 1) if number != task]
    return Stream(stream.corpus, stream.kind, stream.examples, tuple(tasks))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("dynamic", DYNAMIC),
        ("dynamic", {**DYNAMIC, "balance": True}),
        ("ridge", {}),
        ("ranpac", {"projection": 40}),
    ],
)
@pytest.mark.parametrize("task", [1, 2, 3])
def test_sums_and_solution_are_those_of_a_run_that_never_saw_the_task(
    kind, settings, task, bert, tmp_path
):
    stream = make_stream(3, 2)
    config = quick(kind, valid_examples=99, **settings)  # all validation rows are kept
    run = cp.train(stream, bert, config, folder=tmp_path / "run", bar=False)
    left = cp.drop_task(run, stream, task, tmp_path / "left")
    never = cp.train(without(stream, task), bert, config, folder=tmp_path / "never", bar=False)
    for name in ("gram", "targets", "valid_features", "valid_labels"):
        torch.testing.assert_close(left.learner.kept[name], never.learner.kept[name])
    part = "selector" if kind == "dynamic" else "module"
    ours, theirs = (each.learner.parts[part] for each in (left, never))
    solved = [each._kept_head().solve(1.0) for each in (ours, theirs)]
    torch.testing.assert_close(solved[0].weight, solved[1].weight)
    torch.testing.assert_close(solved[0].bias, solved[1].bias)
    if ours.kept["exponent"] == theirs.kept["exponent"]:  # found from another start
        heads = [each.modules[0].head for each in (ours, theirs)]
        torch.testing.assert_close(heads[0], heads[1], atol=1e-4, rtol=1e-3)
    assert left.record.stream.fingerprint == never.record.stream.fingerprint


def test_the_other_modules_are_the_same_and_answer_for_their_own_labels(bert, tmp_path):
    stream = make_stream(4)
    run = cp.train(stream, bert, quick("dynamic", **DYNAMIC), folder=tmp_path / "run", bar=False)
    left = cp.drop_task(run, stream, 2, tmp_path / "left")
    assert [module.owner for module in left.learner.modules] == [[0, 1], [2, 3], [4, 5]]
    stayed = [run.learner.modules[number] for number in (0, 2, 3)]
    for ours, old in zip(left.learner.modules, stayed, strict=True):
        assert torch.equal(ours.head, old.head)
        assert all(torch.equal(weight, old.adapter[name]) for name, weight in ours.adapter.items())
    assert set(left.predictions["task"]) == {1, 2, 3}
    labels = {label for task in without(stream, 2) for label in task.labels}
    assert set(left.predictions["predicted"]) <= labels
    assert np.isnan(left.accuracy_matrix.iloc[0]).all()
    assert left.accuracy_matrix.iloc[-1].notna().all()
    assert len(left.costs) == 3 and left.finished
    assert left.replayed.empty and np.isnan(left.summary()["outvoted"])
    assert left.record.environment["made by"] == "cp.drop_task"


def test_only_the_tasks_own_training_rows_are_read_again(bert, tmp_path, monkeypatch):
    stream = make_stream(3)
    run = cp.train(stream, bert, quick("dynamic", **DYNAMIC), folder=tmp_path / "run", bar=False)
    read = set()
    encode = Features.encode

    def noted(self, row):
        read.add(int(row))
        return encode(self, row)

    monkeypatch.setattr(Features, "encode", noted)
    cp.drop_task(run, stream, 2, tmp_path / "left")
    assert read & set(stream[1].train.tolist())
    past = [*stream[0].train, *stream[2].train, *stream[0].valid, *stream[2].valid]
    assert not read & {int(row) for row in past}


def test_what_has_learned_from_several_tasks_is_refused(learned, learnable, bert, tmp_path):
    for name in ("static", "dynamic"):
        with pytest.raises(cp.ConpetError, match="cannot be taken out"):
            cp.drop_task(learned[name], learnable, 1, tmp_path / name)
    stream = make_stream(3)
    for name, more in {
        "shared": {"modules": 2},
        "two": {"active": 2},
        "unforced": {"teacher_forcing": False},
        "guided": {"joined_layers": None},
    }.items():
        config = quick("dynamic", epochs=1, **more, **DYNAMIC)
        run = cp.train(stream, bert, config, folder=tmp_path / name, bar=False)
        with pytest.raises(cp.ConpetError, match="cannot be taken out"):
            cp.drop_task(run, stream, 2, tmp_path / "left")
    assert not (tmp_path / "left").exists()


def test_no_such_task_another_stream_and_a_folder_in_use_are_refused(bert, tmp_path):
    stream = make_stream(2)
    run = cp.train(stream, bert, quick("ridge"), folder=tmp_path / "run", bar=False)
    with pytest.raises(cp.ConpetError, match="task must be 1 to 2"):
        cp.drop_task(run, stream, 3, tmp_path / "left")
    with pytest.raises(cp.ConpetError, match="another stream"):
        cp.drop_task(run, make_stream(2, rows=8), 1, tmp_path / "left")
    with pytest.raises(cp.ConpetError, match="is there already"):
        cp.drop_task(run, stream, 1, run.folder)
