"""Selector explorer: a map of what the selector sees, and the row behind each point.

In: a run of Dynamic ConPET and its stream. Out: the map's points.

May import `analysis`, `runs`, `streams` and `plots`. Trains nothing. Start at `SelectorExplorer`.
"""

from ipywidgets import HTML

from conpet_lib.analysis.selectors import selector_points
from conpet_lib.plots import selector_map
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name, run_code
from conpet_lib.widgets.cards import card
from conpet_lib.widgets.controls import number
from conpet_lib.widgets.panel import Panel


class SelectorExplorer(Panel):
    """A map of the selector's features, with a slider from the surest test row to the least sure.

    Args:
        run: A run with a selector.
        stream: The stream that it was trained on.
        place: The row that is shown at first; 0 is the surest.

    Attributes:
        points: The test rows, the surest first, as `selector_points` gives them.
        card: The example on the screen, which is no part of a saved page.
    """

    def __init__(self, run: Run, stream: Stream, place: int = 0):
        self.run = run
        self.card = HTML()
        self.points = selector_points(run, stream)
        self.example_of_key = {example.key: example for example in stream.examples}
        last = len(self.points) - 1
        self.stream = stream
        slider = number(place, "place", "0 is the surest", low=0, high=last, slider=last)
        super().__init__({"place": slider}, self.card)

    def write_code(self) -> str:
        """Write the calls that draw the same map."""
        run = run_code(self.run, self.page)
        stream = name_of(self.stream, "stream", self.page)
        points = new_name("points", self.page)
        return (
            f"{points} = cp.selector_points({run}, {stream})\n"
            f"plots.selector_map({points}, {self.config['place']})"
        )

    def show(self) -> None:
        """Show the row at the place, and mark it on the map."""
        place = self.config["place"]
        point = self.points.loc[place]
        example = self.example_of_key[point["key"]]
        self.card.value = card(example, self.run.learner.features.prompt)
        self.tabulate(point.drop(["x", "y"]).to_frame("row"))
        self.draw(selector_map(self.points, place))

    def clear(self) -> None:
        """Show no row."""
        super().clear()
        self.card.value = ""
