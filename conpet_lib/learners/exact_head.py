"""Exact head: the best linear layer on frozen features, solved and not trained.

Ridge regression of one-hot labels on features. All that it must keep of a row are sums, so a row is
seen once, and the head after stage k is the one that all rows of k tasks together would give.
Knows nothing of stages, modules or backbones. Start at `ExactHead`.

Source: Zhuang et al. 2022 (ACIL), equations 7 and 8; McDonnell et al. 2023 (RanPAC), section 4.
"""

from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError

# Strengths that are tried are powers of this, in parts of the mean eigenvalue of the centred gram
# matrix: from 0.0001 to 100.
STEP = 10.0**0.5
LEAST, MOST = -8, 4
# Bounds of the temperature, as natural logarithms: e^-6 to e^2.
COLDEST, HOTTEST = -6.0, 2.0
COOL = 0.1  # the temperature where none can be fitted
LEAST_SPREAD = 1e-6  # of features, as a part of their mean square


@dataclass(frozen=True)
class Solution:
    """A linear layer that was solved.

    Attributes:
        weight: `(labels, width)` float64.
        bias: `(labels,)` float64.
        strength: Of the ridge penalty that it was solved with.
    """

    weight: Tensor
    bias: Tensor
    strength: float

    def scores(self, features: Tensor) -> Tensor:
        """Score all labels, `(rows, labels)` float64.

        Args:
            features: `(rows, width)`.
        """
        return features.double() @ self.weight.T + self.bias

    def divided(self, temperature: float) -> "Solution":
        """The same layer with its scores divided by a temperature.

        Args:
            temperature: Above 0; the lower, the surer.
        """
        return Solution(self.weight / temperature, self.bias / temperature, self.strength)


class ExactHead:
    """Ridge regression of one-hot labels on features, kept as sums.

    The last row and column stand for a feature that is always 1, whose weight is the bias. It is
    not penalised: the labels' shares are no evidence against them, and a solution then does not
    depend on where the features' origin lies.

    Args:
        width: Numbers of a feature.

    Attributes:
        gram: `(width + 1, width + 1)` float64, the sum of f f' over the rows seen.
        targets: `(width + 1, labels)` float64, the sum of f y'; its last row counts the rows of
            each label, or has 1 for each where labels weigh alike.
    """

    def __init__(self, width: int):
        self.gram = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self.targets = torch.zeros(width + 1, 0, dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor, balance: bool = False) -> None:
        """See rows once; a label that is new becomes a column.

        Args:
            features: `(rows, width)`.
            labels: `(rows,)` int64, columns from 0.
            balance: Whether labels weigh alike, and not rows; all rows of a label must then come at
                once.

        Raises:
            ConpetError: If more rows of a label come and labels weigh alike.
        """
        if not len(labels):
            return
        lacking = int(labels.max()) + 1 - self.targets.shape[1]
        self.targets = nn.functional.pad(self.targets, (0, max(0, lacking)))
        if balance and (self.targets[-1][labels] > 0).any():
            raise ConpetError(
                "All rows of a label must be added at once where labels weigh alike (balance=True)."
            )
        self._change(features, labels, _weights(labels, balance))

    def remove(self, features: Tensor, labels: Tensor, balance: bool = False) -> None:
        """Take rows out again that were added.

        Args:
            features: `(rows, width)`, as they were added.
            labels: `(rows,)` int64.
            balance: As when they were added.
        """
        self._change(features, labels, -_weights(labels, balance))

    def _change(self, features: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Add rows by their weights."""
        one = torch.ones(len(features), 1, dtype=torch.float64)
        extended = torch.cat([features.double(), one], dim=1)
        weighed = (extended * weights[:, None]).T
        self.gram = self.gram + weighed @ extended
        one_hot = nn.functional.one_hot(labels, self.targets.shape[1]).double()
        self.targets = self.targets + weighed @ one_hot

    def solve(self, strength: float) -> Solution:
        """The head that minimises squared errors plus strength times the squared weights.

        It is solved on centred features, which is the same as a bias without a penalty.

        Args:
            strength: Of the penalty, above 0, in the unit of squared features summed over rows.
        """
        rows = self.gram[-1, -1]
        mean = self.gram[-1, :-1] / rows  # (width,)
        share = self.targets[-1] / rows  # (labels,)
        centred = self.gram[:-1, :-1] - rows * mean.outer(mean)
        cross = self.targets[:-1] - rows * mean.outer(share)
        centred.diagonal().add_(strength)
        weight = torch.cholesky_solve(cross, torch.linalg.cholesky(centred))
        return Solution(weight.T, share - mean @ weight, strength)

    @property
    def scale(self) -> float:
        """The mean eigenvalue of the centred gram matrix, which strengths are parts of."""
        squares = self.gram[:-1, :-1].diagonal()
        means = self.gram[-1, :-1].square() / self.gram[-1, -1]
        least = LEAST_SPREAD * squares.mean().clamp(min=LEAST_SPREAD)  # rows may be all alike
        return (squares - means).mean().clamp(min=least).item()


def _weights(labels: Tensor, balance: bool) -> Tensor:
    """`(rows,)` float64: 1 each, or so that each label's rows together weigh 1."""
    weights = torch.ones(len(labels), dtype=torch.float64)
    return weights / labels.bincount()[labels] if balance else weights


def best_solution(
    head: ExactHead, features: Tensor, labels: Tensor, start: int = -2
) -> tuple[Solution, int]:
    """The solution whose strength is best on validation rows, its temperature fitted on them.

    Best is the highest accuracy, and among equals the lowest cross entropy at the solution's own
    best temperature. From the start the search goes on to a better neighbour until there is none,
    so that few strengths are solved. Without rows it is the start, at a temperature that suits
    scores from 0 to 1.

    Args:
        head: The sums.
        features: `(rows, width)` of validation rows.
        labels: `(rows,)` int64.
        start: The exponent of `STEP` that is tried first.

    Returns:
        The solution, and the exponent of its strength.

    Source: Guo et al. 2017, section 4.2 (temperature scaling).
    """
    scale = head.scale
    if not len(labels):
        return head.solve(scale * STEP**start).divided(COOL), start
    scored: dict[int, tuple[tuple[float, float], Solution]] = {}

    def score(exponent: int) -> tuple[float, float]:
        if exponent not in scored:
            solution = head.solve(scale * STEP**exponent)
            scores = solution.scores(features)
            temperature, loss = fitted_temperature(scores, labels)
            accuracy = (scores.argmax(1) == labels).double().mean().item()
            scored[exponent] = ((accuracy, -loss), solution.divided(temperature))
        return scored[exponent][0]

    best = start
    while True:
        near = range(max(LEAST, best - 1), min(MOST, best + 1) + 1)
        better = max(near, key=score)
        if score(better) <= score(best):
            return scored[best][1], best
        best = better


def fitted_temperature(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """The temperature that gives validation rows the lowest cross entropy, and that cross entropy.

    Args:
        scores: `(rows, labels)`.
        labels: `(rows,)` int64.

    Returns:
        The temperature, and the mean cross entropy in nats.
    """

    def loss_at(logarithm: float) -> float:
        divided = scores / torch.tensor(logarithm).exp()
        return nn.functional.cross_entropy(divided, labels).item()

    found = minimize_scalar(loss_at, bounds=(COLDEST, HOTTEST), method="bounded")
    return float(torch.tensor(found.x).exp()), float(found.fun)
