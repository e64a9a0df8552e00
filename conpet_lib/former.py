"""Former: modules by the names that they had before the rooms, for one version.

`from conpet_lib.features import Features` still works, and warns. Goes with version 0.2. Imports
nothing of ours until a former name is used. Start at `FORMER`.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Where the names of a former module are now, the place that most of them went to first.
FORMER = {
    "assets": ("core.assets", "core.machine"),
    "backbone": ("models.backbone", "models.loading", "models.answer_rows", "models.adapters"),
    "comparing": ("analysis.comparing", "analysis.grid", "analysis.tables"),
    "config": ("learners.methods", "learners.paper"),
    "costs": ("analysis.forecast", "runs.clock", "models.usage"),
    "dynamic": ("learners.dynamic", "learners.selector"),
}
FORMER |= {
    "errors": ("core.errors",),
    "family": ("learners", "learners.frozen"),
    "features": ("models.features", "models.prefix", "core.store"),
    "files": ("core.files", "core.tensors", "core.seeds"),
    "modules": ("models.modules",),
    "prompts": ("models.prompts",),
    "registry": ("learners.methods",),
    "selectors": ("analysis.selectors",),
    "tasks": ("streams.stream", "streams.drawing", "streams.authors"),
    "training": ("runs.training", "runs.checkpoint", "runs.stage"),
}
PACKAGE = "conpet_lib."


class FormerNames(MetaPathFinder, Loader):
    """Finds a former module, and fills it from those that have its names now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a former module; None for every other name.

        Args:
            fullname: Such as "conpet_lib.features".
            path: Not used.
            target: Not used.
        """
        if fullname.startswith(PACKAGE) and fullname.removeprefix(PACKAGE) in FORMER:
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a former module.

        Args:
            module: It is empty, and has the former name.
        """
        homes = FORMER[module.__name__.removeprefix(PACKAGE)]
        warnings.warn(
            f"{module.__name__} is now {PACKAGE}{homes[0]}; the former name goes with version 0.2.",
            DeprecationWarning,
            stacklevel=2,
        )
        for home in reversed(homes):
            vars(module).update(
                {
                    name: value
                    for name, value in vars(import_module(PACKAGE + home)).items()
                    if not name.startswith("__")
                }
            )


def install() -> None:
    """Let Python ask for former names after all others; once."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())
