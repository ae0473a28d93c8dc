"""NLL in two parts: what a temperature takes off, and what is left (Berta et al. 2025, arXiv 2501.19195)."""

from calibench.calibrators.fold import CalibrateFold
from calibench.calibrators.temperature import best_temperature
from calibench.metrics import Predictions
from calibench.metrics.probabilities import log_softmax
from calibench.metrics.proper import nll


def nll_parts(seen: Predictions, fold: CalibrateFold) -> dict[str, float]:
    """``nll_refinement``: NLL after the temperature that is best on the part `calibrate`; ``nll_calibration``: NLL less
    that, what was lost by bad calibration. It is negative where the temperature does not fit these images.

    Args:
        seen: logits of any images; on those of the fold itself the temperature is the best one.
        fold: the part `calibrate`.
    """
    left = nll(log_softmax(seen.scores / best_temperature(fold.logits, fold.targets)), seen.targets)
    return {"nll_refinement": left, "nll_calibration": nll(seen.log_probs, seen.targets) - left}
