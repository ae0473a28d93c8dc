"""calibench: training regimes, calibration measures and the stages that a workflow strings together."""

__version__ = "0.1.0"
