"""A figure of run folders, drawn in this process."""

import importlib
from argparse import ArgumentParser


def drawn(kind, folders, *options):
    """The Matplotlib figure that `calibench figure KIND` would save."""
    module = importlib.import_module(f"calibench.figures.{kind}")
    parser = ArgumentParser()
    module.add_options(parser)
    args = parser.parse_args(list(map(str, options)))
    args.records = [folder / "run.json" for folder in folders]
    return module.figure(args)
