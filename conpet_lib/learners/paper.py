"""Paper: the authors' settings for each corpus.

Source: configs/*.yaml and global_var.py of github.com/Raincleared-Song/ConPET at 1a37c13.
"""

import json
from typing import Any, TypeVar

from conpet_lib.core.arguments import checked
from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import check_known
from conpet_lib.learners.config import LearnerConfig

Config = TypeVar("Config", bound=LearnerConfig)


@checked
def paper(learner: type[Config], corpus: str, **changed: Any) -> Config:
    """The authors' settings for a LLaMA-class backbone, on all its layers.

    `paper(DynamicConfig, "fewrel").batch_limit` is 320: the 80 % of their batch limit that train.

    Args:
        learner: A configuration class, such as `StaticConfig` or `DynamicConfig`.
        corpus: A key of `data/paper.json`, such as "fewrel".
        changed: Settings that differ from theirs.

    Returns:
        The configuration; `max_tokens` is 128 for relations and 256 for entity types.

    Raises:
        ConpetError: For an unknown corpus.

    Source:
        configs/*.yaml and global_var.py of github.com/Raincleared-Song/ConPET at 1a37c13.
    """
    known = json.loads((DATA / "paper.json").read_text(encoding="utf-8"))
    check_known("corpus", corpus, known)
    of_all = {
        "rank": 4,
        "alpha": 1.0,
        "targets": ("q_proj", "k_proj"),
        "batch_size": 8,
        "epsilon": 1e-4,
        "weight_decay": 0.01,
        "limit_first": False,
    }
    return learner(**{**of_all, **known[corpus], **changed})
