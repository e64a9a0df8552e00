"""Dynamic plan: what Dynamic ConPET will do and keep, known before anything is trained.

In: the number of tasks, the module budget, the selector. Out: steps, rows, weights. `DynamicConPET`
is one. Start at `DynamicPlan.plan`.
"""

from conpet_lib.learners.exact import ExactSelector
from conpet_lib.learners.fitting import StagePlan
from conpet_lib.learners.selector import Selector
from conpet_lib.learners.static import StaticConPET


class DynamicPlan(StaticConPET):
    """The numbers of Dynamic ConPET that a forecast asks for.

    Attributes:
        selector: A learner of its own.
        budget: The most modules that may be opened.
    """

    selector: Selector | ExactSelector
    budget: int

    @property
    def selects(self) -> bool:
        """Whether there will be a selector: with two modules or more."""
        return self.module_count() > 1

    @property
    def trains_on_own_rows(self) -> bool:
        """Whether a module's only rows with a gradient are those of its own tasks."""
        return bool(self.selects and self.config.active == 1 and self.config.teacher_forcing)

    def module_count(self) -> int:
        """As many as there are tasks, within the budget."""
        return min(self.budget, len(self.stream))

    def trained_parameters(self) -> int:
        """Weights of all modules and of the selector, heads included."""
        weights = super().trained_parameters()
        return weights + self.selector.trained_parameters() if self.selects else weights

    def passes_per_answer(self) -> int:
        """One per active module, and one for the selector."""
        active = min(int(self.config.active), self.module_count())
        return active + 1 if self.selects else active

    def replayable_rows(self, stage: int) -> int:
        """Past rows that a module sees: none if it has one task and is alone active.

        Args:
            stage: The stage, from 1.
        """
        if self.trains_on_own_rows and self.module_count() == len(self.stream):
            return 0
        return super().replayable_rows(stage)

    def history_rows(self) -> int:
        """All training rows; none if modules and an exact selector see their own rows alone."""
        if self.replayable_rows(len(self.stream)) == 0 and isinstance(self.selector, ExactSelector):
            return 0
        return super().history_rows()

    def sums_bytes(self) -> int:
        """Those of an exact selector."""
        return self.selector.sums_bytes() if self.selects else 0

    def solved_width(self) -> int:
        """Numbers of a feature that the selector reads, if its head is solved."""
        return self.selector.solved_width() if self.selects else 0

    def states_width(self) -> int:
        """Numbers of the frozen layers that the selector reads."""
        return self.selector.states_width() if self.selects else 0

    def plan(self, stage: int) -> dict[str, StagePlan]:
        """What the selector and the module will do in a stage.

        Args:
            stage: The stage, from 1.
        """
        plans = super().plan(stage)
        if stage < self.selector.first_stage or not self.selects:
            return plans
        own = plans[self.name]
        if self.trains_on_own_rows:
            new_rows = int(self.config.batch_size * self.config.new_share)
            plans[self.name] = StagePlan(own.steps, max(1, new_rows), own.passes)
        return self.selector.plan(stage) | plans
