"""Playback: a recorded run as if it were trained now, for a room that has no time to train.

In: a run. Out: its curve, stage by stage.

May import `runs` and `plots`. Trains nothing. Start at `Playback`.
"""

from ipywidgets import Play, jslink

from conpet_lib.plots import average_curves
from conpet_lib.runs.run import Run
from conpet_lib.widgets.caller import run_code
from conpet_lib.widgets.controls import number
from conpet_lib.widgets.panel import Panel


class Playback(Panel):
    """A recorded run as if it were trained now, one stage after the other.

    Args:
        run: A run with at least one stage done.
        stage: Stages that are shown at first.
        milliseconds: Time that a stage stays on the screen while it plays.

    Attributes:
        play: The buttons that move the slider.
    """

    def __init__(self, run: Run, stage: int = 1, milliseconds: int = 1000):
        self.run = run
        stages = len(run.average_accuracy)  # where no stage is done this says so
        slider = number(stage, "stage", "stages done", low=1, high=stages, slider=stages)
        self.play = Play(min=1, max=stages, interval=milliseconds, tooltip="play the stages")
        jslink((self.play, "value"), (slider, "value"))
        super().__init__({"stage": slider}, self.play)

    def write_code(self) -> str:
        """Write the call that draws the same curve."""
        run = run_code(self.run, self.page)
        return f"plots.average_curves([{run}], upto={self.config['stage']})"

    def show(self) -> None:
        """Draw the curve up to the stage."""
        self.draw(average_curves([self.run], upto=self.config["stage"]))
