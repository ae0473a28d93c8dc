"""Post-hoc calibration: maps from logits to better calibrated probabilities, one file each.

``FITS`` names those that a config may ask for (``hard@temperature``), and those that other packages bring; each is
fitted on the part `calibrate` alone.
"""

from collections.abc import Callable

from calibench.calibrators.dirichlet import dirichlet
from calibench.calibrators.ensemble_temperature import ensemble_temperature
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.isotonic import isotonic
from calibench.calibrators.structured import structured_matrix, structured_vector
from calibench.calibrators.temperature import temperature
from calibench.calibrators.vector import vector
from calibench.extensions import brought

FITS: dict[str, Callable[[CalibrateFold], Calibrator]] = {
    fit.__name__: fit
    for fit in (
        *(temperature, vector, isotonic, ensemble_temperature),
        *(structured_vector, structured_matrix, dirichlet),
    )
}
FITS |= brought("calibrators", FITS)
