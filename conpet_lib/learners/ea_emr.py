"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from conpet_lib.learners.emr import EMR


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
            module.head.data = module.head.data @ alignment(now, self.kept["features"]).to(
                module.head
            )
        self.kept["features"] = self.features.features_of(self.memory, module)


def alignment(now: Tensor, before: Tensor) -> Tensor:
    """B, `(hidden, hidden)`, that lowers the mean of |B now - before|^2 + |B - 1|^2; both are `(rows, hidden)`."""
    fitted = Ridge(alpha=float(len(now)), fit_intercept=False).fit(
        now.numpy(), (before - now).numpy()
    )
    return torch.eye(now.shape[1]) + torch.from_numpy(fitted.coef_).float()
