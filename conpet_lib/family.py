"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

import copy
from dataclasses import replace
from functools import partial
import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, normalize
from conpet_lib.files import numpy_generator
from conpet_lib.learners import Fitting, Learner, Vanilla
from conpet_lib.modules import PetModule
from conpet_lib.replay import CHOOSERS, Rows, dynamic_replay
from conpet_lib.tasks import Task

class Joint(Learner):
    """At stage k a new module is trained on all k tasks at once, with k times the batches: the upper bound."""
    def begin(self, stage: int) -> Fitting:
        self.modules, self.module_of_task = [], [0] * (stage - 1)
        return super().begin(stage)

    def new_labels(self, stage: int) -> list[int]:
        return np.flatnonzero(self.stream.task_of_label < stage).tolist()

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        union, limit = np.concatenate([task.train for task in self.stream[:stage]]), self.config.limit(stage)
        return dynamic_replay(union, [], self.config.batch_size, 1.0, limit and limit * stage,
                              numpy_generator(self.seed, self.name, "batches", stage, epoch))

class Linear(Learner):
    """A linear head on the features of the backbone as it is, with dynamic replay: what does tuning add at all?"""
    def new_module(self, number: int) -> PetModule:
        return PetModule(self.features.backbone, None, self.seed, self.name, number)

class ClassMean(Linear):
    """The nearest class mean on the features of the backbone as it is: what is lost is lost to new labels alone.
    No step is taken: a score is minus half the squared distance to the mean, up to a term that is the same for all
    labels. Source: Mensink et al. 2013, eq. 1 and 2."""
    def begin(self, stage: int) -> Fitting:
        fitting = super().begin(stage)
        head, bias = fitting.module.head.data, fitting.module.bias.data
        rows = self.stream[stage - 1].train
        means = label_means(self.features.features_of(rows), self.stream.label_numbers(rows)).to(head)
        head[-len(means):], bias[-len(means):] = means, -means.square().sum(1) / 2      # the rows that are new
        return fitting

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        return [self.stream[stage - 1].train[:0]]

def label_means(features: Tensor, numbers: np.ndarray) -> Tensor:
    """`(labels, hidden)` means of features `(rows, hidden)` by label, in the order of the labels' `(rows,)` numbers."""
    return torch.stack([features[numbers == number].mean(0) for number in np.unique(numbers)])

class EMR(Learner):
    """Episodic memory replay: the same loss and number of replayed rows as Static ConPET, but from a fixed memory.
    `kept["memory"]`: `(rows,)` the kept training rows, the most important of a label first. A quarter as many
    validation rows of past labels are used beside them, as in the official code (80 and 20 % of a memory).
    Source: Wang et al. 2019 (EA-EMR), the baseline EMR; ConPET's official code, `emr`."""
    def past(self, stage: int) -> list[Task]:
        """The past tasks: with a star all rows of their history, else those in the memory."""
        if self.config.learner.endswith("*"):
            return super().past(stage)
        owner, few = self.stream.task_of_label[self.stream.label_numbers(self.memory)], -(-self.budget(stage) // 4)
        return [replace(task, train=self.memory[owner == place], valid=self.first_of_each_label(task.valid, few))
                for place, task in enumerate(self.stream[:stage - 1]) if (owner == place).any()]

    @property
    def memory(self) -> Rows:
        return self.kept.get("memory", torch.empty(0, dtype=torch.int64)).numpy()

    def budget(self, stage: int) -> int:
        """Rows that a label may keep after so many stages, at least one."""
        seen, in_all = int((self.stream.task_of_label < stage).sum()), self.config.memory_in_all
        return self.config.memory if in_all is None else max(1, in_all // seen)

    def first_of_each_label(self, rows: Rows, count: int) -> Rows:
        numbers = self.stream.label_numbers(rows)
        return np.concatenate([rows[:0], *(rows[numbers == number][:count] for number in np.unique(numbers))])

    def close(self, stage: int) -> None:
        super().close(stage)
        self.remember(stage)

    def remember(self, stage: int) -> None:
        """Choose rows of the new labels by their features; drop the last of old labels that are over the budget."""
        config, budget, old, new = self.config, self.budget(stage), self.memory, self.stream[stage - 1].train
        if config.choosing == "reservoir":      # the smallest of one random number a row: equal to Vitter's algorithm R
            keys = numpy_generator(self.seed, "reservoir").random(len(self.stream.examples))
            pool = np.concatenate([old, new])
            memory = pool[np.argsort(keys[pool], kind="stable")[:config.memory_in_all]]
        else:
            features, numbers = self.features.features_of(new, self.modules[0]).numpy(), self.stream.label_numbers(new)
            choose, memory = CHOOSERS[config.choosing], self.first_of_each_label(old, budget)
            for number in np.unique(numbers):
                mine, generator = numbers == number, numpy_generator(self.seed, self.name, "memory", int(number))
                memory = np.concatenate([memory, new[mine][choose(features[mine], min(budget, mine.sum()), generator)]])
        self.kept["memory"] = torch.from_numpy(memory)

class EAEMR(EMR):
    """EMR with embedding alignment: after a stage, old embeddings are brought back to where they were.
    A linear map B takes the memory's features after the stage to `kept["features"]`, `(rows, hidden)`, those before it,
    and goes into the head: scores are W(Bf) + b. Source: Wang et al. 2019 (EA-EMR), section 3.3. Differs: B is found in
    closed form (ridge regression towards the identity, strength 1); they and the official code take gradient steps."""
    def close(self, stage: int) -> None:
        old, module = self.memory, self.modules[0]
        super().close(stage)
        if stage > 1:
            now = self.features.features_of(old, module)
            module.head.data = module.head.data @ alignment(now, self.kept["features"]).to(module.head)
        self.kept["features"] = self.features.features_of(self.memory, module)

def alignment(now: Tensor, before: Tensor) -> Tensor:
    """B, `(hidden, hidden)`, that lowers the mean of |B now - before|^2 + |B - 1|^2; both are `(rows, hidden)`."""
    fitted = Ridge(alpha=float(len(now)), fit_intercept=False).fit(now.numpy(), (before - now).numpy())
    return torch.eye(now.shape[1]) + torch.from_numpy(fitted.coef_).float()

class CRL(EMR):
    """Consistent representation learning: contrast instead of cross entropy, and the relations of old labels kept.
    A score is the cosine of feature and prototype over the temperature; after each epoch the prototypes of past labels
    are the means of their rows in memory, the new labels' of a memory's worth of training rows. Source: Zhao et al.
    2022 (CRL), sections 3.4 (contrastive replay), 3.5 (distillation); temperatures 0.1, 10: ConPET's official code.
    Differs: no projection to 64 dimensions; contrast and distillation act in one step, as many as in all learners."""
    TEMPERATURE, SHARPNESS = 0.1, 10.0      # the official code multiplies similarities by its KL temperature

    def begin(self, stage: int) -> Fitting:
        fitting = super().begin(stage)
        self.set_head(fitting.module, stage)
        old = int((self.stream.task_of_label < stage - 1).sum())
        self.relations = normalize(fitting.module.head.detach())[:old].clone()      # (old_labels, hidden), as they were
        return fitting

    def set_head(self, module: PetModule, stage: int) -> None:
        """Make the prototypes under a module its head."""
        rows = np.concatenate([self.memory, self.first_of_each_label(self.stream[stage - 1].train, self.budget(stage))])
        means = label_means(self.features.features_of(rows, module), self.stream.label_numbers(rows))
        length = means.shape[1] ** 0.5                      # of a feature, whose root mean square is 1
        module.head.data = normalize(means).to(module.head) / (self.TEMPERATURE * length)

    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        self.set_head(self.modules[0], stage)
        return super().score(rows, stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        module, labels = self.modules[0], self.targets(rows)
        features, prototypes = normalize(self.features.top(rows, module)), normalize(module.head.detach())
        loss = contrast(features, labels, prototypes, self.TEMPERATURE)
        old, relations = labels < len(self.relations), self.relations
        if old.any():
            before = self.SHARPNESS * relations[labels[old]] @ relations.T                  # (old_rows, old_labels)
            now = self.SHARPNESS * features[old] @ prototypes[:len(relations)].T
            loss = loss + kl_div(now.log_softmax(1), before.softmax(1), reduction="batchmean")
        return loss

def contrast(features: Tensor, labels: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of `(batch, hidden)` features to each other and to `(labels, hidden)` prototypes, in nats.
    The mean over features of minus the mean log probability of those with the same label (the prototype among them)
    among all others. All are normalised. Source: Khosla et al. 2020, eq. 2; Zhao et al. 2022 (CRL), eq. 4."""
    others = torch.cat([features, prototypes])                                       # (batch + labels, hidden)
    owner = torch.cat([labels, torch.arange(len(prototypes), device=labels.device)])
    itself = torch.eye(len(features), len(others), dtype=torch.bool, device=labels.device)
    logits = (features @ others.T / temperature).masked_fill(itself, -torch.inf)
    pulled = (labels[:, None] == owner) & ~itself
    return -(logits.log_softmax(1).masked_fill(~pulled, 0).sum(1) / pulled.sum(1)).mean()

class EWC(Vanilla):
    """Elastic weight consolidation: no replay; weights that mattered to past tasks are held by springs.
    The loss gets strength / 2 * sum of F (w - w')^2 over the PET weights and old head rows: w' as they were after the
    last stage, F the sum over past tasks of the diagonal Fisher, the mean squared gradient of a row's loss.
    Source: Kirkpatrick et al. 2017 (EWC), eq. 3. Differs: one anchor, the last, for all tasks (Schwarz et al. 2018);
    the gradient is at the true label, of at most `valid_examples` rows a task."""
    def loss(self, rows: Rows, stage: int) -> Tensor:
        loss = super().loss(rows, stage)
        for name, weight in self.modules[0].named_parameters():
            if f"fisher.{name}" in self.kept:
                fisher, anchor = (self.kept[f"{kind}.{name}"].to(weight) for kind in ("fisher", "anchor"))
                loss = loss + self.config.strength / 2 * (fisher * (weight[:len(anchor)] - anchor).square()).sum()
        return loss

    def close(self, stage: int) -> None:
        super().close(stage)
        module, rows = self.modules[0], self.stream[stage - 1].train
        rows = numpy_generator(self.seed, self.name, "fisher", stage).permutation(rows)[:self.config.valid_examples]
        fisher = diagonal_fisher(module, [partial(Learner.loss, self, row, stage) for row in rows[:, None]])
        for name, weight in module.state_dict().items():
            value = fisher[name].cpu()
            past = self.kept.get(f"fisher.{name}", value[:0])
            value[:len(past)] += past
            self.kept |= {f"fisher.{name}": value, f"anchor.{name}": weight.detach().cpu().clone()}

def diagonal_fisher(module: torch.nn.Module, losses: list) -> dict[str, Tensor]:
    """Mean over losses (functions of nothing, one a row) of the squared gradient of each of a module's weights."""
    weights = dict(module.requires_grad_(True).named_parameters())
    fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in losses:
        gradients = torch.autograd.grad(loss(), list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(weights, gradients):
            fisher[name] += gradient.square() / len(losses)
    module.requires_grad_(False)
    return fisher

class LwF(Vanilla):
    """Learning without forgetting: no replay; on new rows the old labels keep the probabilities they had.
    Teacher: the module as it was before the stage. Source: Li and Hoiem 2016 (LwF), eq. 3, temperature 2. Differs: the
    distillation is times the squared temperature (Hinton et al. 2015), and the new labels' loss is over all labels."""
    def begin(self, stage: int) -> Fitting:
        self.teacher = copy.deepcopy(self.modules[0]) if self.modules else None        # before it grows
        return super().begin(stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        now, temperature = self.logits(rows, stage), self.config.temperature
        loss = cross_entropy(now, self.targets(rows))
        if self.teacher:
            with torch.no_grad():
                before = (self.features.scores(rows, self.teacher) / temperature).softmax(1)    # (batch, old_labels)
            distilled = cross_entropy(now[:, :before.shape[1]] / temperature, before)
            loss = loss + self.config.strength * temperature**2 * distilled
        return loss
