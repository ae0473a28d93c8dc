"""Where a run was made: versions, commit, machine."""

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
    """The package's git commit, with ``+changes`` if the tree differs, or ``unknown`` outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # a package that was installed into an environment inside another repository is not of that repository
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True,
            check=True,
            timeout=10,
        )
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, commit and machine of a run."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
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
