"""Export: a run's modules as standard PEFT folders, with their heads' labels and a model card.

In: a run and an empty folder. Out: one folder per module, which plain PEFT loads.
Start at `export`.
"""

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import (
    move_into_place,
    temporary_folder,
    user_path,
    write_atomically,
    write_json,
)
from conpet_lib.core.showing import as_markdown
from conpet_lib.streams.sentences import MOST_TEXTS, SHORTEST

if TYPE_CHECKING:
    from conpet_lib.models.modules import PetModule
    from conpet_lib.runs.run import Run


def export(run: "Run", folder: str | Path) -> Path:
    """Hand on every module and the selector as PEFT folders, with a model card.

    All is written beside the folder and then renamed, so a kill leaves nothing half-written there.

    Args:
        run: Whose modules are handed on.
        folder: A folder that is empty, or not there yet.

    Returns:
        The folder.

    Raises:
        ConpetError: If the folder is not empty or cannot be written, there is no PET module, or a
            file is torn or was changed.
    """
    folder = user_path(folder)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConpetError(f"{folder} is not empty. Export into a new folder.")
        if run.learner.modules[0].config is None:
            raise ConpetError(f"A run of {run.name!r} has no PET module that could be handed on.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as work:
            whole = work / "whole"
            _write(run, whole)
            if folder.exists():
                folder.rmdir()  # Windows renames nothing over a folder, be it empty
            move_into_place(whole, folder)
    except OSError as error:
        raise ConpetError(
            f"{folder} cannot be written ({error}). Export into a folder of your own, with room on "
            "its disk."
        ) from error
    return folder


def _write(run: "Run", folder: Path) -> None:
    """Write every module, the labels of its head, and the card."""
    modules = _modules_with_names(run)
    for place, (module, names) in modules.items():
        module.save(folder / place)
        write_json(folder / place / "labels.json", [names[number] for number in module.owner])
        if module.config is None:
            (folder / place / module.file).unlink()  # it would be empty
    card = _card(run, list(modules))
    write_atomically(folder / "README.md", lambda file: file.write_text(card, encoding="utf-8"))


def _modules_with_names(run: "Run") -> dict[str, tuple["PetModule", list[str]]]:
    """Each module with the names that its head's rows may stand for, by its folder's name."""
    learner = run.learner
    labels = list(learner.stream.labels)
    modules = {
        f"module-{number}": (module, labels) for number, module in enumerate(learner.modules)
    }
    if run.record.has_selector:
        selector = learner.parts["selector"]
        on_labels = getattr(selector, "on_labels", False)
        names = labels if on_labels else _task_names(run)
        modules["selector"] = (selector.modules[0], names)
    return modules


def _task_names(run: "Run") -> list[str]:
    """What each task is called: its labels."""
    return [", ".join(labels) for labels in run.record.stream.tasks]


def _card(run: "Run", places: list[str]) -> str:
    """The model card."""
    record = run.record
    matrix = run.accuracy_matrix
    names = _task_names(run)
    rows = []
    for task, sides in zip(matrix, record.stream.rows):
        counts = " | ".join(str(count) for count in sides)
        learned = _shown(matrix.loc[task, task])
        now = _shown(matrix[task].iloc[-1])
        labels = as_markdown(names[task - 1])
        rows.append(f"| {task} | {labels} | {counts} | {learned} | {now} |")
    base = record.backbone.name
    licences = json.loads((DATA / "licences.json").read_text(encoding="utf-8"))
    values = {"run": run, "record": record, "summary": run.summary(), "tasks": len(names)}
    values["method"] = as_markdown(run.name)
    values["corpus"] = as_markdown(record.stream.corpus)
    values["parts"] = ", ".join(places)
    values["rows"] = "\n".join(rows)
    values["tested"] = run.tested_in_words
    values["further"] = _further(run)
    values["sides"] = _sides(record.sentences_on_two_sides)
    values["template"] = run.learner.features.prompt.template
    values["base"] = Path(base).name if user_path(base).is_dir() else base  # no path of one machine
    values["base_in_yaml"] = json.dumps(values["base"], ensure_ascii=False)
    values["backbone_licence"] = licences.get(base, "see the backbone's own card")
    values["corpus_licence"] = licences.get(record.stream.corpus, "that of your own data")
    form = (DATA / "model_card.md").read_text(encoding="utf-8")
    return form.format(**values)


def _further(run: "Run") -> str:
    """What the card says of a selector, or of a head that reads frozen layers; "" without."""
    from conpet_lib.learners.exact import ExactSelector  # needs transformers and peft

    learner = run.learner
    beside = getattr(learner, "layers_beside", int)()
    if beside:
        return f"The head reads behind that feature also {_side_by_side(beside)}."
    selector: Any = learner.parts.get("selector")
    if selector is None:
        return ""
    answers = "The module of the task that the selector finds the most probable answers."
    if not selector.on_labels:
        return f"The selector's head names tasks. {answers}"
    names = (
        "The selector's head names labels; a task's probability is the sum of those of its labels."
    )
    if not isinstance(selector, ExactSelector):
        return f"{names} {answers}"
    reads = "that feature under module-0"
    if selector.reads_states:
        reads = _side_by_side(selector.layers())
    return f"The selector is a head alone, and no PEFT folder; it reads {reads}. {names} {answers}"


def _side_by_side(layers: int) -> str:
    """The states of the last frozen layers, in words."""
    return (
        f"the hidden states at the answer position after each of the last {layers} layers of the "
        "backbone without a module, side by side from the lowest, each divided by its root mean "
        "square"
    )


def _shown(accuracy: float) -> str:
    """The accuracy on a task's test rows, in words if there are none."""
    return "no rows" if isnan(accuracy) else f"{accuracy:.3f}"


def _sides(sentences_on_two_sides: int | None) -> str:
    """What the card says of sentences on two sides of the split."""
    if sentences_on_two_sides is None:
        return "It is not recorded how many sentences stand on two sides of the split."
    compared = (
        f"case, white space and signs aside; of sentences within a text, those of {SHORTEST} words "
        f"or more were compared, if they are a text of their own or at most {MOST_TEXTS} texts "
        "have them"
    )
    if sentences_on_two_sides == 0:
        return f"No sentence stands on two sides of the split ({compared})."
    return f"Sentences that stand on two sides of the split: {sentences_on_two_sides} ({compared})."
