"""Figures, one file per kind: what it reads of finished runs, how it is drawn, and its command-line options."""

# kind of figure → what a run must have to be in it; those of `figures.extra` are drawn where the config names them
NEEDS = {
    "tsne": "features",
    "reliability": None,
    "retention": None,
    "density": None,
    "curves": None,
    "matrix": "matrix",
    "entropy": "matrix",
    "bars": None,
    "classmeans": None,
    "distances": "features",
    "shift": "sets",
    "sweep": "sweep",
    "noise": "noise",
    "netbenefit": "positive",
}
# the other kinds show the first seed
ALL_SEEDS = ("curves", "entropy", "retention", "shift", "sweep", "noise", "netbenefit")
WHOLE = ("forest", "ranks")  # one figure of the whole experiment, from its long tables
ENOUGH = 8  # places (data set × backbone), below which ranks say little
# need only predictions: also those of other programs
OF_PREDICTIONS = ("reliability", "retention", "density", "netbenefit")
OPTIONAL = {"entropy", "bars", "classmeans", "distances"}  # drawn where `figures.extra` names them
