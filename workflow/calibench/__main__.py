"""``calibench <stage> …``, or ``python -m calibench <stage> …``: one command for every step of the workflow."""

import ast
import importlib
import os
import sys
from pathlib import Path

from calibench import __version__, cli
from calibench.errors import UserError, did_you_mean

STAGES = Path(__file__).parent / "stages"
# The order in the help, that of an image on its way; other stages are listed last.
ORDER = (
    *("digits", "fetch", "list", "audit", "sample", "store", "votes", "weights", "features", "train"),
    *("predict", "predict_training", "external", "match", "evaluate", "ensemble_seeds", "ensemble_epochs"),
    *("analyse", "collect", "shift", "resample", "contrasts", "ranks", "confusions", "gradients", "sweep"),
    *("published", "tables", "figure", "report", "score", "remove_checkpoints", "status", "config", "init"),
    *("export", "check_regime"),
)


def stages() -> list[str]:
    """Names of all stages: the files in ``stages/``, in order."""
    found = {path.stem for path in STAGES.glob("*.py")} - {"__init__"}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def summary(stage: str) -> str:
    """First line of the docstring of a stage, without importing it."""
    text = ast.get_docstring(ast.parse((STAGES / f"{stage}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def usage() -> str:
    """The text of ``calibench --help``."""
    names = stages()
    width = max(map(len, names))
    head = (
        f"calibench {__version__}: calibench <stage> [options]; calibench <stage> --help explains one stage."
    )
    return "\n".join([head, "", *(f"  {name:<{width}}  {summary(name)}" for name in names)])


def start(argv: list[str] | None) -> None:
    """Run one stage, importing only its own module; UserError if there is no such stage."""
    stage, *rest = argv or ["--help"]
    if stage.replace("-", "_") in stages():  # check-regime is the file check_regime
        stage = stage.replace("-", "_")
    if stage in ("-h", "--help"):
        print(usage())
    elif stage == "--version":
        print(__version__)
    elif stage in stages():
        importlib.import_module(f"calibench.stages.{stage}").main(rest)
    else:
        raise UserError(f"there is no stage '{stage}'; {did_you_mean(stage, stages())}")


def start_warm(argv: list[str]) -> None:
    """Run one stage, in a process that has its imports already, if there is one for it."""
    if os.environ.get("CALIBENCH_WARM"):
        from calibench.training import warm

        if (code := warm.ask(argv)) is not None:
            sys.exit(code)
    start(argv)


def main() -> None:
    """Entry of the console script ``calibench``."""
    cli.run(start_warm, sys.argv[1:])


if __name__ == "__main__":
    main()
