"""How a run was made: versions, commit, machine."""

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibench.extensions import packages


def commit() -> str:
    """The git commit of the package, with ``+changes`` if files were edited, or ``unknown`` outside a checkout."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # an installed package may be inside another repository
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+changes")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, commit and machine of a run."""
    cpu = platform.processor() or platform.machine()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": importlib.metadata.version("torchvision"),
        "numpy": np.__version__,
        "commit": commit(),
        "extensions": packages(),
        **({"timm": sys.modules["timm"].__version__} if "timm" in sys.modules else {}),
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
    }
