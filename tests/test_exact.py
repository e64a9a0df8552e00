"""Learners with exact heads: one pass over the new rows, and nothing of earlier tasks is read."""

import numpy as np
import pytest
import torch
from conftest import make_corpus, make_learner, make_stream, module_bytes, quick
from sklearn.linear_model import Ridge as SklearnRidge
from torch.nn.functional import one_hot

import conpet_lib as cp
from conpet_lib.learners.exact_head import ExactHead
from conpet_lib.models.features import Features


def trained(kind, stream, backbone, **settings):
    learner = make_learner(kind, stream, backbone, **settings)
    for stage in range(1, len(stream) + 1):
        learner.fit(stage)
    return learner


def union(stream, side="train"):
    return np.concatenate([getattr(task, side) for task in stream])


@pytest.fixture
def rows_read(monkeypatch):
    """The rows whose prompts are asked for, in order."""
    read = []
    encode = Features.encode

    def noted(self, row):
        read.append(int(row))
        return encode(self, row)

    monkeypatch.setattr(Features, "encode", noted)
    return read


def test_the_states_of_one_layer_are_the_features_of_the_bare_backbone(backbone):
    stream = make_stream(2)
    learner = make_learner("static", stream, backbone)
    rows = union(stream).tolist()
    torch.testing.assert_close(
        learner.features.joined_of(rows, 1),
        learner.features.features_of(rows),
        atol=3e-3,  # the prefix is kept in half precision
        rtol=0,
    )


def test_joined_states_are_the_models_own_hidden_states_side_by_side(bert):
    stream = make_stream(1, rows=6)
    features = make_learner("static", stream, bert).features
    row = int(stream[0].train[0])
    prompt = features.encode(row)
    noted = []
    for layer in bert.layers:
        layer.register_forward_hook(lambda module, given, out: noted.append(out))
    joined = features.joined_of([row], bert.exit_layer)
    assert joined.shape == (1, bert.exit_layer * bert.hidden_size)
    states = [out[0] if isinstance(out, tuple) else out for out in noted[: bert.exit_layer - 1]]
    wanted = [state[0, prompt.answer] for state in states]
    width = bert.hidden_size
    for number, state in enumerate(wanted):
        scaled = state / state.square().mean().sqrt()
        own = joined[0, number * width : (number + 1) * width]
        torch.testing.assert_close(own, scaled, atol=1e-5, rtol=1e-4)


def test_a_pass_for_states_gives_the_prefix_as_well_to_the_same_bits(bert, tmp_path):
    stream = make_stream(2)
    rows = union(stream).tolist()
    states = {}
    for name in ("by prefix", "by states"):
        features = Features(stream.examples, stream.kind, bert, tmp_path / name)
        if name == "by states":
            features.joined_of(rows, 2)
        else:
            features.fill(rows)
        computed = features.counts["prefix_tokens"]
        states[name] = features.prefixes.batch([features.encode(row).tokens for row in rows])[0]
        assert features.counts["prefix_tokens"] == computed  # nothing was lacking
    assert torch.equal(states["by prefix"], states["by states"])
    assert computed == 0


def test_ridge_ends_where_ridge_regression_on_the_union_does(backbone):
    stream = make_stream(4)
    learner = trained("ridge", stream, backbone)
    rows = union(stream)
    features = learner.features_for(rows).double()
    labels = torch.from_numpy(stream.label_numbers(rows))
    solved = learner._kept_head().solve(0.7)
    wanted = SklearnRidge(alpha=0.7).fit(features.numpy(), one_hot(labels).numpy())
    np.testing.assert_allclose(solved.weight, wanted.coef_, atol=1e-6)
    assert [entry["steps"] for entry in learner.ledger] == [0] * 4


def test_what_it_keeps_does_not_depend_on_the_order_of_the_tasks(bert):
    corpus = make_corpus(8)
    labels = np.unique([example.label for example in corpus.examples]).reshape(4, 2).tolist()
    sums = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        tasks = [labels[number] for number in order]
        stream = cp.make_stream(corpus, labels=tasks, train=4, valid=2, test=2)
        learner = trained("ridge", stream, bert)
        columns = [stream.labels.index(label) for pair in labels for label in pair]
        kept = learner.kept
        sums.append((kept["gram"], kept["targets"][:, columns], kept["valid_features"].sum(0)))
    for one, other in zip(*sums):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ridge", {}),
        ("ranpac", {}),
        ("dynamic", {"selector": "exact"}),
        ("dynamic", {"selector": "exact", "joined_layers": None}),
    ],
)
def test_no_row_of_an_earlier_task_is_read_again(kind, settings, bert, rows_read):
    stream = make_stream(4)
    learner = make_learner(kind, stream, bert, **settings)
    for stage in range(1, 5):
        rows_read.clear()
        learner.fit(stage)
        task = stream[stage - 1]
        own = {*task.train.tolist(), *task.valid.tolist()}
        assert rows_read and set(rows_read) <= own


def test_the_papers_selector_does_read_them_again(bert, rows_read):
    stream = make_stream(2)
    learner = make_learner("dynamic", stream, bert)
    learner.fit(1)
    rows_read.clear()
    learner.fit(2)
    assert set(rows_read) & set(stream[0].train.tolist())


def test_validation_rows_that_are_kept_stay_few_and_even(bert):
    stream = make_stream(4, 2)
    learner = trained("ridge", stream, bert, valid_examples=8)
    labels = learner.kept["valid_labels"]
    assert labels.bincount(minlength=8).tolist() == [1] * 8
    assert len(learner.kept["valid_features"]) == 8


def test_an_exact_selector_sums_the_chances_of_a_tasks_labels(bert):
    stream = make_stream(3, 2)
    learner = trained("dynamic", stream, bert, selector="exact")
    rows = union(stream, "test")
    likely = learner.selector.scores_of(rows).softmax(1)
    scores = learner.selector.task_scores(rows)
    torch.testing.assert_close(scores, likely.reshape(-1, 3, 2).sum(2))
    assert np.array_equal(learner.answer(rows)["chosen_task"] - 1, scores.argmax(1).numpy())


def test_it_finds_tasks_that_frozen_features_tell_apart(learnable, bert, tmp_path):
    settings = {"joined_layers": 1, "selector": "exact"}
    run = cp.train(learnable, bert, quick("dynamic", **settings), folder=tmp_path / "r", bar=False)
    chance = 1 / len(learnable)
    right = run.predictions["task"] == run.predictions["chosen_task"]
    assert right[run.predictions["stage"] == len(learnable)].mean() > 2 * chance


@pytest.mark.parametrize(
    ("stop_after", "settings"),
    [
        *((steps, {"selector": "exact"}) for steps in (1, 6, 11, 17)),
        (14, {"selector": "exact", "joined_layers": None}),
        (22, {"selector": "solved"}),
        (22, {"head": "exact"}),
        (22, {"head": "exact", "head_layers": 2}),
    ],
)
def test_a_run_that_was_stopped_ends_in_the_same_bits(stop_after, settings, bert, tmp_path):
    stream = make_stream(3)
    config = quick("dynamic" if "selector" in settings else "static", **settings)
    whole = cp.train(stream, bert, config, folder=tmp_path / "whole", bar=False)
    steps = []

    def stop(step):
        steps.append(step)
        return len(steps) == stop_after

    once = {"folder": tmp_path / "stopped", "bar": False, "checkpoint_every": 0}
    assert not cp.train(stream, bert, config, on_step=stop, **once).finished
    # Another cache, as on another machine: what it lacks is computed while the stage is taken up.
    resumed = cp.train(stream, bert, config, cache=tmp_path / "another", **once)
    assert module_bytes(resumed) == module_bytes(whole)
    kept = [run.folder / "kept" / "stage-03.safetensors" for run in (whole, resumed)]
    assert kept[0].read_bytes() == kept[1].read_bytes()
    assert resumed.predictions.equals(whole.predictions)


@pytest.mark.parametrize("kind", ["static", "joint", "full-replay"])
def test_an_exact_head_is_the_solution_on_the_history_under_the_module_as_it_is(
    kind, bert, tiny_models
):
    whole = cp.load_backbone(tiny_models["bert"], tuned_layers="all", device="cpu")
    backbone = whole if kind.startswith("full") else bert
    stream = make_stream(3)
    learner = trained(kind, stream, backbone, head="exact")
    module = learner.modules[0]
    rows = union(stream)
    features = learner.features.features_of(rows.tolist(), module).numpy()
    labels = torch.from_numpy(stream.label_numbers(rows))
    # Some strength and temperature give it: it is a solution of ridge regression.
    solutions = []
    for exponent in range(-8, 5):
        alpha = np.square(features - features.mean(0)).sum(0).mean() * 10 ** (exponent / 2)
        solved = SklearnRidge(alpha=alpha).fit(features, one_hot(labels).numpy())
        solutions.append(solved.coef_ / np.linalg.norm(solved.coef_))
    head = module.head.detach().numpy()
    apart = [np.abs(head / np.linalg.norm(head) - solution).max() for solution in solutions]
    assert min(apart) < 1e-3


def test_a_solved_selector_is_the_papers_with_another_head(bert):
    stream = make_stream(3)
    papers = trained("dynamic", stream, bert).selector
    solved = trained("dynamic", stream, bert, selector="solved").selector
    ours, theirs = solved.modules[0], papers.modules[0]
    assert all(torch.equal(weight, theirs.adapter[name]) for name, weight in ours.adapter.items())
    assert ours.owner == theirs.owner == [0, 1, 2]
    rows = union(stream)
    features = solved.features.features_of(rows, ours).numpy()
    tasks = torch.from_numpy(stream.task_of_label[stream.label_numbers(rows)])
    scale = np.square(features - features.mean(0)).sum(0).mean()
    heads = [
        SklearnRidge(alpha=scale * 10 ** (exponent / 2)).fit(features, one_hot(tasks).numpy()).coef_
        for exponent in range(-8, 5)
    ]
    head = ours.head.detach().numpy()
    apart = [
        np.abs(head / np.linalg.norm(head) - each / np.linalg.norm(each)).max() for each in heads
    ]
    assert min(apart) < 1e-3 < np.abs(head - theirs.head.detach().numpy()).max()


def test_an_exact_selector_may_read_the_first_tasks_module(bert, tmp_path):
    stream = make_stream(3)
    config = quick("dynamic", selector="exact", joined_layers=None)
    run = cp.train(stream, bert, config, folder=tmp_path / "run", bar=False)
    learner = cp.load_run(tmp_path / "run", bert).reading(stream.examples)
    rows = union(stream)
    head = ExactHead(bert.hidden_size)
    features = learner.features.features_of(rows, learner.modules[0])
    head.add(features, torch.from_numpy(stream.label_numbers(rows)))
    torch.testing.assert_close(learner.kept["gram"], head.gram)
    test = union(stream, "test")
    last = run.predictions[run.predictions["stage"] == 3]
    chosen = learner.answer(test)["chosen_task"].tolist()
    assert chosen == last["chosen_task"].tolist()
    with pytest.raises(cp.ConpetError, match="joined_layers"):
        quick("dynamic", selector="exact", joined_layers=None, modules=2)


@pytest.mark.parametrize("kind", ["emr", "crl"])
def test_an_exact_head_over_a_memory_weighs_labels_alike(kind, bert):
    stream = make_stream(3)
    learner = make_learner(kind, stream, bert, head="exact", memory=2)
    for stage in (1, 2):
        learner.fit(stage)
    solved = {}
    solve_head = learner.solve_head

    def noted(stage):
        solved["rows"] = learner.head_history(stage)
        solve_head(stage)

    learner.solve_head = noted
    learner.fit(3)
    rows = solved["rows"]
    labels = stream.label_numbers(rows)
    counts = np.bincount(labels)
    assert counts.tolist() == [2, 2, 2, 2, 6, 6]
    module = learner.modules[0]
    features = learner.features.features_of(rows.tolist(), module).numpy()
    weights = 1 / counts[labels]
    centred = features - np.average(features, axis=0, weights=weights)
    scale = (weights[:, None] * centred**2).sum(0).mean()
    head = module.head.detach().numpy()
    apart = []
    for exponent in range(-8, 5):
        ridge = SklearnRidge(alpha=scale * 10 ** (exponent / 2))
        one_hot_labels = one_hot(torch.from_numpy(labels)).numpy()
        coef = ridge.fit(features, one_hot_labels, sample_weight=weights).coef_
        apart.append(np.abs(head / np.linalg.norm(head) - coef / np.linalg.norm(coef)).max())
    assert min(apart) < 1e-3


def test_a_head_has_a_row_of_each_label_however_few_it_may_have(bert):
    stream = make_stream(3)
    learner = trained("static", stream, bert, head="exact", head_rows=3)
    assert np.bincount(stream.label_numbers(learner.head_history(3))).tolist() == [1] * 6
    assert learner.modules[0].head.isfinite().all()


def test_without_validation_rows_a_task_is_not_chosen_for_its_many_labels(bert):
    corpus = make_corpus(8, 12)
    labels = sorted({example.label for example in corpus.examples})
    tasks = [labels[:1], labels[1:2], labels[2:]]
    stream = cp.make_stream(corpus, labels=tasks, train=8, valid=0, test=4)
    learner = trained("dynamic", stream, bert, selector="exact")
    rows = union(stream, "test")
    first = learner.selector.scores_of(rows).argmax(1).numpy()
    chosen = learner.answer(rows)["chosen_task"].to_numpy() - 1
    assert (stream.task_of_label[first] == chosen).mean() > 0.9


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("static", {"head_rows": 9}, "head_rows"),
        ("static", {"head_layers": 2}, "head_layers"),
        ("dynamic", {"head_layers": 2, "selector": "solved"}, "head_layers"),
        ("dynamic", {"balance": True}, "balance"),
        ("dynamic", {"selector": "exact", "joined_layers": None, "active": 2}, "joined_layers"),
        (
            "dynamic",
            {"selector": "exact", "joined_layers": None, "teacher_forcing": False},
            "joined_layers",
        ),
    ],
)
def test_a_setting_that_would_change_nothing_or_cannot_be_is_refused(kind, settings, field):
    with pytest.raises(cp.ConpetError, match=field):
        quick(kind, **settings)


def test_passes_through_all_layers_are_counted(bert, tmp_path):
    stream = make_stream(2)
    config = quick("ridge")
    run = cp.train(stream, bert, config, folder=tmp_path, bar=False, cache=tmp_path / "cache")
    summary = run.summary()
    assert summary["passes"] >= len(union(stream)) and summary["operations"] > 0


def test_training_goes_on_with_the_head_that_was_trained(bert):
    stream = make_stream(2)
    plain = make_learner("static", stream, bert)
    exact = make_learner("static", stream, bert, head="exact")
    for stage in (1, 2):
        plain.fit(stage)
        exact.fit(stage)
        assert torch.equal(exact.kept["trained.head"], plain.modules[0].head)
        assert not torch.equal(exact.modules[0].head, plain.modules[0].head)
        for name, weight in plain.modules[0].adapter.items():
            assert torch.equal(exact.modules[0].adapter[name], weight)


def test_an_exact_head_may_read_frozen_layers_beside_the_module(bert, tmp_path):
    stream = make_stream(3)
    config = quick("static", head="exact", head_layers=2)
    run = cp.train(stream, bert, config, folder=tmp_path / "run", bar=False)
    learner = cp.load_run(tmp_path / "run", bert).reading(stream.examples)
    rows = union(stream, "test")
    module = learner.modules[0]
    features = torch.cat(
        [
            learner.features.features_of(rows, module),
            learner.features.joined_of(rows, 2),
        ],
        dim=1,
    )
    assert module.head.shape == (len(stream.labels), 3 * bert.hidden_size)
    wanted = (features @ module.head.T + module.bias).argmax(1)
    last = run.predictions[run.predictions["stage"] == 3]
    assert [stream.labels[number] for number in wanted] == last["predicted"].tolist()
    assert learner.kept["trained.head"].shape[1] == bert.hidden_size


def test_head_rows_are_drawn_evenly_over_the_labels(bert):
    stream = make_stream(3, 2, rows=12)
    learner = trained("static", stream, bert, head="exact", head_rows=12)
    rows = learner.head_history(3)
    assert np.bincount(stream.label_numbers(rows)).tolist() == [2] * 6
    assert len(np.unique(rows)) == 12


@pytest.mark.parametrize("kind", ["dynamic", "ea-emr"])
def test_a_learner_whose_head_cannot_be_solved_says_so(kind):
    with pytest.raises(cp.ConpetError, match="head"):
        cp.method(kind, head="exact")
