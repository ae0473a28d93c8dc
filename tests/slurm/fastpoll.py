"""Snakemake with the real Slurm plugin, looking at its jobs every second.

The plugin waits 10 s longer after every look that finds nothing new, which no setting changes; tests would
mostly wait. Nothing else differs from ``python -m snakemake``: jobs are real Slurm jobs.
"""

import sys

import snakemake_executor_plugin_slurm as plugin
from snakemake.cli import main

plugin.Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, value: None)

if __name__ == "__main__":
    sys.exit(main())
