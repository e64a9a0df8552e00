"""The exact head: what it solves is what all rows together would give."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.exact_head import ExactHead, best_solution, fitted_temperature

LABELS, WIDTH = 5, 7


@pytest.fixture(scope="module")
def rows():
    """Features `(rows, width)` of five labels, and the labels, those of a label side by side."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(LABELS).repeat_interleave(torch.tensor([3, 9, 4, 20, 6]))
    means = torch.randn(LABELS, WIDTH, generator=generator)
    features = means[labels] + 0.7 * torch.randn(len(labels), WIDTH, generator=generator)
    return features + 3, labels  # far from the origin, so that a bias matters


def head_of(features, labels, **settings):
    head = ExactHead(WIDTH)
    head.add(features, labels, **settings)
    return head


def test_it_is_ridge_regression_with_a_free_bias(rows):
    features, labels = rows
    solution = head_of(features, labels).solve(2.5)
    one_hot = torch.nn.functional.one_hot(labels).numpy()
    wanted = Ridge(alpha=2.5).fit(features.double().numpy(), one_hot)
    np.testing.assert_allclose(solution.weight, wanted.coef_, atol=1e-10)
    np.testing.assert_allclose(solution.bias, wanted.intercept_, atol=1e-10)


@pytest.mark.parametrize("balance", [False, True])
def test_tasks_in_any_order_give_the_head_of_their_union(rows, balance):
    features, labels = rows
    together = head_of(features, labels, balance=balance).solve(0.3)
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        head = ExactHead(WIDTH)
        for label in order:
            own = labels == label
            head.add(features[own], labels[own], balance)
        solution = head.solve(0.3)
        torch.testing.assert_close(solution.weight, together.weight)
        torch.testing.assert_close(solution.bias, together.bias)


def test_a_label_that_has_not_been_seen_is_a_new_column(rows):
    features, labels = rows
    head = head_of(features[labels < 2], labels[labels < 2])
    assert head.solve(1.0).weight.shape == (2, WIDTH)
    head.add(features[labels >= 2], labels[labels >= 2])
    assert head.solve(1.0).weight.shape == (LABELS, WIDTH)


def test_balanced_labels_weigh_alike_however_many_rows_they_have(rows):
    features, labels = rows
    own = labels == 1
    more = torch.cat([features, features[own], features[own]])
    more_labels = torch.cat([labels, labels[own], labels[own]])
    as_before = head_of(features, labels, balance=True).solve(0.1)
    again = head_of(more, more_labels, balance=True).solve(0.1)
    torch.testing.assert_close(again.weight, as_before.weight)
    not_balanced = head_of(more, more_labels).solve(0.1).weight
    assert not torch.allclose(not_balanced, head_of(features, labels).solve(0.1).weight)


def test_a_balanced_label_whose_rows_come_in_two_parts_is_refused(rows):
    features, labels = rows
    head = head_of(features, labels, balance=True)
    with pytest.raises(ConpetError, match="at once"):
        head.add(features[:1], labels[:1], balance=True)


def test_what_is_removed_was_never_there(rows):
    features, labels = rows
    stays = labels < 3
    head = head_of(features, labels)
    head.remove(features[~stays], labels[~stays])
    solution = head.solve(1.0)
    never = head_of(features[stays], labels[stays]).solve(1.0)
    torch.testing.assert_close(solution.weight[:3], never.weight)
    torch.testing.assert_close(
        solution.weight[3:], torch.zeros(2, WIDTH).double(), atol=1e-9, rtol=0
    )


def test_the_scale_is_the_mean_eigenvalue_of_the_centred_features(rows):
    features, labels = rows
    centred = features.double() - features.double().mean(0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred)
    assert head_of(features, labels).scale == pytest.approx(eigenvalues.mean().item())


def test_the_best_strength_has_no_better_neighbour_wherever_the_search_starts(rows):
    features, labels = rows
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(features.shape, generator=generator)
    head = head_of(features, labels)
    chosen = {best_solution(head, features + noise, labels, start)[1] for start in (-8, -2, 4)}
    assert len(chosen) == 1 and chosen.pop() > -8


def test_without_validation_rows_the_strength_stays(rows):
    features, labels = rows
    head = head_of(features, labels)
    solution, strength = best_solution(head, features[:0], labels[:0], 1)
    assert strength == 1
    assert solution.strength == pytest.approx(head.scale * 10**0.5)


def test_the_temperature_undoes_a_factor_and_changes_no_answer(rows):
    generator = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(4000, LABELS, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    for factor in (0.2, 1.0, 3.0):
        temperature, _ = fitted_temperature(factor * logits, labels)
        assert temperature == pytest.approx(factor, rel=0.1)
    features, labels = rows
    solution = head_of(features, labels).solve(1.0)
    scores = solution.divided(0.05).scores(features)
    assert torch.equal(scores.argmax(1), solution.scores(features).argmax(1))
