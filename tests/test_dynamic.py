"""Dynamic ConPET: its selection, its gradients and its two ends.

Selection is held against brute force, and gradients reach one module alone.
"""

from collections import defaultdict
from contextlib import suppress

import numpy as np
import pytest
import torch
from conftest import WORDS, make_corpus, make_learner, make_module, make_stream, module_bytes, quick

import conpet_lib as cp
from conpet_lib.corpora import Example
from conpet_lib.learners.dynamic import FLOOR, choose_active
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream, Task


class EnoughError(Exception):
    """Raised in the middle of a stage."""


def in_stage(stage: int, backbone, stream=None, **more):
    """A learner after the first step of the module of `stage`, all gradients cleared."""

    def tell(step):
        if (step.stage, step.doing) == (stage, "module"):
            raise EnoughError

    learner = make_learner("dynamic", stream or make_stream(3), backbone, tell=tell, **more)
    for number in range(1, stage + 1):
        with suppress(EnoughError):
            learner.fit(number)
    assert learner.fitting.stage == stage
    for module in [*learner.modules, *learner.selector.modules]:
        module.zero_grad()
    return learner


def trained(backbone, stream=None, **more):
    """A learner after all stages."""
    learner = make_learner("dynamic", stream or make_stream(3), backbone, **more)
    for stage in range(1, len(learner.stream) + 1):
        learner.fit(stage)
    return learner


def rows_of(learner, side: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Rows of all tasks on one side, and the task of each."""
    rows_of_task = [getattr(task, side) for task in learner.stream]
    sizes = [len(rows) for rows in rows_of_task]
    tasks = np.repeat(np.arange(len(sizes)), sizes)
    return np.concatenate(rows_of_task), tasks


def brute_choice(scores: list[float], k: int, true: int | None) -> set[int]:
    """The k best modules of one row; the true one takes the place of the last of them."""
    ranked = sorted(range(len(scores)), key=lambda module: -scores[module])[:k]
    if true is not None and true not in ranked:
        ranked[-1] = true
    return set(ranked)


def brute_logits(learner, rows, tasks, k: int, forced: bool) -> torch.Tensor:
    """All modules run on all rows one by one, then each row's inactive ones are overwritten.

    Gradients flow as they come.
    """
    owners = [label for module in learner.modules for label in module.owner]
    scores = [learner.features.scores(rows, module) for module in learner.modules]
    logits = torch.cat(scores, 1)[:, np.argsort(owners)]
    task_of_label = [learner.stream.task_of_label[label] for label in sorted(owners)]
    keep = []
    for task_scores, task in zip(learner.selector.task_scores(rows).tolist(), tasks):
        chosen = brute_choice(task_scores, k, task if forced else None)
        keep.append([task in chosen for task in task_of_label])
    return torch.where(torch.tensor(keep), logits, torch.tensor(-100.0))


def gradients(module) -> torch.Tensor:
    return torch.cat([weight.grad.flatten().clone() for weight in module.parameters()])


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8])
def test_active_modules_agree_with_brute_force(k, forced):
    scores = torch.rand(64, 5, generator=torch.Generator().manual_seed(k))
    true = torch.arange(64) % 5
    active = choose_active(scores, k, true if forced else None)
    assert len(active) == len(scores)
    for row, row_scores, task in zip(active, scores, true):
        chosen = set(row.nonzero().flatten().tolist())
        assert chosen == brute_choice(row_scores.tolist(), k, int(task) if forced else None)
    assert (active.sum(1) == min(k, 5)).all()
    assert active[torch.arange(64), true].all() == (forced or k >= 5)


@pytest.mark.parametrize("k, forced", [(1, True), (1, False), (2, True), (2, False), (3, True)])
def test_training_logits_equal_all_modules_run_separately(backbone, k, forced):
    learner = in_stage(3, backbone, active=k, teacher_forcing=forced, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner)
    learner.take_in(rows, 3)
    with torch.no_grad():
        logits = learner.logits(rows, 3)
        wanted = brute_logits(learner, rows, tasks, k, forced)
        other = brute_logits(learner, rows, tasks, k, not forced)
        everything = brute_logits(learner, rows, tasks, 3, forced)
    if k < 3:
        never_wrong = torch.equal(wanted == FLOOR, other == FLOOR)
        assert not never_wrong, "the selector is never wrong here"
        assert not torch.equal(wanted, everything)
    assert torch.equal(logits == FLOOR, wanted == FLOOR)
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)


def test_a_frozen_score_depends_on_its_row_alone(tmp_path):
    backbone = cp.load_backbone("minilm-l6", device="cpu")
    stream = make_stream(3)
    module = make_module(backbone, trained=True)
    rows = np.concatenate([task.train for task in stream])
    one = Features(stream.examples, stream.kind, backbone, tmp_path / "one")
    other = Features(stream.examples, stream.kind, backbone, tmp_path / "other")
    together = one.frozen_scores(rows, module)
    assert len(together.unique(dim=0)) == len(rows)
    assert torch.equal(one.frozen_scores(rows, module), together)
    for part in (rows[20:23], rows[:1], rows[::-1]):  # another run asked for other rows first
        other.frozen_scores(part, module)
    later = other.frozen_scores(rows, module)
    assert torch.equal(later, together), "a run depends on what ran before it"


@pytest.mark.parametrize("k", [1, 2])
def test_left_out_rows_change_the_gradient_only_by_the_factor_of_the_mean(backbone, k):
    learner = in_stage(3, backbone, active=k)
    rows, tasks = rows_of(learner)
    module = learner.fitting.module
    kept = learner.take_in(rows, 3)
    assert set(learner.stream[2].train) <= set(kept)
    if k == 1:
        assert len(kept) < len(rows)
    learner.loss(kept, 3).backward()
    ours = gradients(module)
    for other in [*learner.modules[:2], learner.selector.modules[0]]:
        for weight in other.parameters():
            assert weight.grad is None, "a frozen module or the selector got a gradient"
    module.zero_grad()
    logits = brute_logits(learner, rows, tasks, k, True)
    torch.nn.functional.cross_entropy(logits, learner.targets(rows)).backward()
    brute = gradients(module) * len(rows) / len(kept)
    assert brute.abs().max() > 1e-3
    torch.testing.assert_close(ours, brute, rtol=1e-2, atol=1e-4 * brute.abs().max().item())


@pytest.mark.parametrize("settings", [{}, {"active": 2}, {"modules": 2, "selector": "labels"}])
def test_selector_and_modules_never_train_each_other(bert, settings):
    # For each stage and what trains in it, at each step: hashes of the module that trains, of the
    # other modules and of the selector.
    seen = defaultdict(list)

    def tell(step):
        if step.doing == "prefix":
            return
        own = None
        own_hash = None
        selector_hash = None
        if step.doing == "module":
            own = learner.fitting.module
            own_hash = own.fingerprint
        if learner.selector.modules:
            selector_hash = learner.selector.modules[0].fingerprint
        others = frozenset(module.fingerprint for module in learner.modules if module is not own)
        seen[step.stage, step.doing].append((own_hash, others, selector_hash))

    learner = make_learner("dynamic", make_stream(4), bert, tell=tell, **settings)
    for stage in range(1, 5):
        learner.fit(stage)
    for stage in range(2, 5):
        selector_steps = seen[stage, "selector"]
        module_steps = seen[stage, "module"]
        selectors = {selector for _, _, selector in selector_steps}
        modules = {own for own, _, _ in module_steps}
        assert len(selectors) > 1
        assert len(modules) > 1
        beside_selector = {others for _, others, _ in selector_steps}
        assert len(beside_selector) == 1, "a module changed while the selector trained"
        beside_module = {(others, selector) for _, others, selector in module_steps}
        assert len(beside_module) == 1, "the selector or a frozen module changed"
        frozen = module_steps[0][1]
        assert frozen <= selector_steps[0][1]
        assert len(frozen) == min(stage, learner.budget) - 1


def test_as_many_active_modules_as_there_are_equal_all_of_them(bert, tmp_path):
    def train(active):
        return cp.train(
            make_stream(3),
            bert,
            quick("dynamic", active=active, batch_limit=2, epochs=1),
            bar=False,
            folder=tmp_path / str(active),
            cache=tmp_path / f"cache-{active}",
        )

    one = train(1)
    three = train(3)
    many = train(99)
    assert module_bytes(one) != module_bytes(three)
    assert module_bytes(three) == module_bytes(many)
    assert three.predictions.equals(many.predictions)
    learner = trained(bert, active=99, batch_limit=2, epochs=1)
    rows, tasks = rows_of(learner, "test")
    with torch.no_grad():
        wanted = brute_logits(learner, rows, tasks, 3, False).argmax(1)
    names = [learner.stream.labels[label] for label in wanted]
    assert learner.answer(rows)["predicted"].tolist() == names


def test_known_tasks_never_change_an_answer(bert):
    learner = trained(bert, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner, "test")
    blind = learner.answer(rows, None)
    told = learner.answer(rows, tasks)
    lied = learner.answer(rows, tasks[::-1].copy())
    assert (blind["chosen_task"] - 1 != tasks).any(), "the selector is never wrong here"
    assert not told["within_task"].equals(lied["within_task"])
    columns = list(blind)
    assert set(columns) == {
        "predicted",
        "module",
        "chosen_task",
        "confidence",
        "margin",
        "task_confidence",
        "ranking",
    }
    assert blind.equals(told[columns])
    assert blind.equals(lied[columns])
    assert blind["module"].equals(blind["chosen_task"] - 1)
    assert told["true_module_active"].equals(told["module"] == tasks)


def test_a_perfect_selector_reaches_the_bound_of_the_oracle(bert):
    learner = trained(bert, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner, "test")
    before = learner.answer(rows, tasks)
    assert not before["predicted"].equals(before["within_task"])
    task_of = dict(zip(rows.tolist(), tasks.tolist()))

    def true_tasks(asked):
        return torch.eye(3)[[task_of[int(row)] for row in asked]]

    learner.selector.task_scores = true_tasks
    perfect = learner.answer(rows, tasks)
    assert perfect["predicted"].tolist() == perfect["within_task"].tolist()
    assert perfect["within_task"].tolist() == before["within_task"].tolist()
    assert np.array_equal(perfect["chosen_task"] - 1, tasks)


def test_one_module_is_static_conpet(learnable, bert, tmp_path):
    def train(name, config):
        return cp.train(learnable, bert, config, folder=tmp_path / name, bar=False)

    static = train("static", quick("static"))
    one = train("one", quick("dynamic", modules=1))
    two = train("two", quick("dynamic", modules=2))
    assert module_bytes(two) != module_bytes(static)
    assert module_bytes(one) == module_bytes(static)
    assert one.accuracy_matrix.equals(static.accuracy_matrix)
    assert one.replayed.equals(static.replayed)
    assert one.selector_accuracy is None


def test_a_budget_of_as_many_modules_as_tasks_is_no_budget(bert, tmp_path):
    def train(modules):
        config = quick("dynamic", modules=modules, batch_limit=2, epochs=1)
        folder = tmp_path / str(modules)
        return cp.train(make_stream(3), bert, config, bar=False, folder=folder)

    unlimited = train(None)
    three = train(3)
    two = train(2)
    assert module_bytes(unlimited) == module_bytes(three)
    assert module_bytes(three) != module_bytes(two)
    assert unlimited.accuracy_matrix.equals(three.accuracy_matrix)


def test_beyond_the_budget_tasks_join_modules_in_turn(bert, tmp_path):
    stream = make_stream(5)
    config = quick("dynamic", modules=2, joining="in turn", epochs=1)
    run = cp.train(stream, bert, config, folder=tmp_path, bar=False)
    assert run.record.module_of_task == [0, 1, 0, 1, 0]
    assert [module.owner for module in run.learner.modules] == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7]]
    last = run.replayed.query("part == 'module' and stage == 5")
    assert set(last["task"]) == {1, 3, 5}, "a joined module replays its own tasks"


@pytest.mark.parametrize("like", [0, 1])
def test_beyond_the_budget_a_task_joins_the_most_similar_module(bert, like):
    words_of_task = [WORDS[:4], WORDS[12:16], WORDS[12 * like : 12 * like + 4]]
    examples = []
    tasks = []
    # The last task's test rows are like those of the other module, which must not matter.
    words_of_test = [*words_of_task[:2], words_of_task[1 - like]]
    for number, (words_of_others, tested) in enumerate(zip(words_of_task, words_of_test)):
        label = f"type {number}"
        for row in range(16):
            words = words_of_others if row < 4 else tested
            first = words[row % 4]
            text = f"{first} {words[row // 4]} {words[0]}"
            example = Example(
                key=f"{number}:{row}", text=text, spans=((0, len(first)),), label=label
            )
            examples.append(example)
        rows = np.arange(16 * number, 16 * (number + 1))
        tasks.append(Task((label,), rows[:4], rows[4:6], rows[6:]))
    stream = Stream("made", "typing", examples, tuple(tasks))
    assert trained(bert, stream, modules=2).module_of_task == [0, 1, like]


def test_a_selector_of_labels_sums_them_into_tasks(bert):
    learner = trained(bert, selector="labels")
    selector = learner.selector.modules[0]
    rows, _ = rows_of(learner, "test")
    likely = learner.features.scores_of(rows, selector).softmax(1)
    assert selector.owner == list(range(6))
    task_of_label = learner.stream.task_of_label
    wanted = torch.stack([likely[:, task_of_label == task].sum(1) for task in range(3)], 1)
    torch.testing.assert_close(learner.selector.task_scores(rows), wanted)
    assert np.array_equal(learner.answer(rows)["chosen_task"] - 1, wanted.argmax(1).numpy())


@pytest.mark.parametrize("tasks", [2, 50])
@pytest.mark.parametrize("k", [1, 2])
def test_an_answer_costs_one_prefix_one_selector_pass_and_k_module_passes(bert, tasks, k):
    stream = cp.make_stream(make_corpus(tasks, 6), tasks, 1, train=2, valid=1, test=3)
    settings = {"batch_limit": 1, "epochs": 1, "batch_size": 2, "valid_examples": 2}
    learner = trained(bert, stream, active=k, **settings)
    rows, _ = rows_of(learner, "test")
    # as for a text that is asked, and not for a row that is tested
    learner.features.logits.keep = False
    before = learner.features.counts
    learner.answer(rows)
    after = learner.features.counts
    assert after["top_rows"] - before["top_rows"] == (1 + k) * len(rows)
    assert after["prefix_misses"] - before["prefix_misses"] == len(rows)
    assert after["top_rows_trained"] == before["top_rows_trained"]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_stage_takes_passes_by_the_number_of_active_modules_and_not_by_the_number_of_tasks(
    bert, k
):
    passes = {}
    learner = make_learner("dynamic", make_stream(30, 1, rows=12), bert, active=k)
    for stage in range(1, 31):
        before = learner.features.counts
        learner.fit(stage)
        passes[stage] = learner.features.counts - before
    trained = [passes[stage]["top_rows_trained"] for stage in range(k + 1, 31)]
    drawn = 2 * 4 * 8  # epochs x batches x rows
    valid = 2 * 12  # epochs x validation rows
    if k == 1:
        # The selector trains on all rows, the module on its own half.
        assert set(trained) == {drawn + drawn // 2}
    assert max(trained) <= 2 * drawn
    # The selector passes once over each row that is drawn and over the validation rows, the module
    # over the validation rows, and the other active modules, which are frozen, over each row in a
    # pass of a group of 8.
    bound = 2 * valid + drawn + valid + (k - 1) * 8 * (drawn + valid)
    for stage in range(2, 31):
        assert passes[stage]["top_rows"] <= bound, stage


def test_a_stage_that_joins_a_module_reads_its_own_task_for_that_and_no_other(bert):
    learner = make_learner("dynamic", make_stream(8, 1), bert, modules=2)
    passes = []
    for stage in range(1, 9):
        before = learner.features.counts
        learner.fit(stage)
        passes.append((learner.features.counts - before)["top_rows"])
    later = passes[3:]
    assert len(set(later)) <= 2, passes
    assert max(later) - min(later) <= 8, passes  # up to padding of groups


def test_a_frozen_module_scores_a_test_row_once(bert, tmp_path):
    run = cp.train(make_stream(4), bert, quick("dynamic"), folder=tmp_path / "run", bar=False)
    hits = [cost["counts"]["logit_hits"] for cost in run.costs]
    old_rows = [sum(run.predictions.query(f"stage == {stage}")["task"] < stage) for stage in (1, 4)]
    # the right module's scores, for the last column; those of the chosen one come on top
    assert hits[0] == old_rows[0] == 0 and hits[3] >= old_rows[1] == 18
