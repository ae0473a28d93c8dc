"""The regime of a finished run, with its state at the end of the training."""

from pathlib import Path

from safetensors.torch import load_file

from calibench import regimes
from calibench.finished import names
from calibench.finished.reuse import read_record
from calibench.regimes.base import Regime


def load_regime(run_dir: Path, num_classes: int) -> Regime:
    """The regime at the end of the training, on the CPU."""
    record = read_record(run_dir)
    regime = regimes.build(record["run"]["regime"], num_classes, **record["settings"]["regime"])
    regime.load_state_dict(load_file(run_dir / names.STATE))
    return regime.eval()
