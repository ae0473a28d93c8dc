"""How close are the probabilities of a network to the votes of several readers?"""

import numpy as np

from calibench.errors import UserError
from calibench.metrics.probabilities import Predictions, mean


def vote_shares(votes: np.ndarray, num_classes: int, where: str) -> np.ndarray:
    """Shares (N, K) from votes (N, K); a row of NaN, an image that nobody voted on, stays one.

    Args:
        votes: how many readers chose each class, or the shares themselves.
        num_classes: K.
        where: what to call the votes in an error.

    Raises:
        UserError: other shape; a negative number; a row that is NaN in part, or whose votes do not sum to more than 0.
    """
    votes = np.asarray(votes, np.float64)
    if votes.ndim != 2 or votes.shape[1] != num_classes:
        raise UserError(
            f"{where}: votes have shape {votes.shape}, but there are {num_classes} classes; give one column per class"
        )
    unknown = np.isnan(votes)
    bad = (unknown.any(axis=1) & ~unknown.all(axis=1)) | (votes < 0).any(axis=1) | (votes.sum(axis=1) <= 0)
    bad |= np.isinf(votes).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UserError(
            f"{where}: the votes of row {row} are {votes[row].tolist()}; they must be counts with a sum above 0"
        )
    return votes / votes.sum(axis=1, keepdims=True)


def human(seen: Predictions, shares: np.ndarray) -> dict[str, float]:
    """``ce_human``: mean of -Σ_k v_k·log p_k, v the shares of the votes; ``kl_human``: that less the entropy of v, so 0
    for a network that says what people say. With ``_right``: over right predictions only (Zhang et al. 2021, Table XII).

    In nats; images without votes are left out; NaN where none is left. With one class always voted for, ``ce_human``
    is the NLL.

    Args:
        seen: predictions of N images.
        shares: (N, K), see :func:`vote_shares`.
    """
    voted = ~np.isnan(shares[:, 0])
    logs = np.log(np.where(shares > 0, shares, 1))
    cross = -(shares * seen.log_probs).sum(axis=1)
    apart = (shares * (logs - seen.log_probs)).sum(axis=1)
    found = {}
    for name, keep in {"": voted, "_right": voted & seen.correct}.items():
        found |= {f"kl_human{name}": mean(apart[keep]), f"ce_human{name}": mean(cross[keep])}
    return found
