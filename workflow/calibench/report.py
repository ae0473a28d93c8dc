"""Stage: the report of an experiment, as an executed notebook and as one HTML file that opens without
a network.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import reporting
from calibench.cli import run
from calibench.errors import UserError
from calibench.files import write_text
from calibench.reporting import kernel, page

log = logging.getLogger(__name__)


def parse_settings(text: str) -> dict[str, Any]:
    """Settings {"config": completed configuration, "version": …}; other keys say nothing to the report.

    Raises:
        UserError: if it is no JSON object.
    """
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise UserError("--settings must be a JSON object with config and version")
    return settings


def report(
    experiment_dir: Path, settings: dict[str, Any], stores: Sequence[Path], notebook: Path
) -> tuple[str, str]:
    """The executed notebook and the HTML page as texts.

    Raises:
        UserError: if the experiment cannot be opened or a cell of the notebook fails.
    """
    import nbformat

    if not notebook.is_file():
        raise UserError(f"--notebook {notebook} is missing")
    reporting.open_experiment(
        experiment_dir, settings, list(stores)
    )  # a mistake is told before a kernel starts
    parameters = {
        "experiment_dir": str(experiment_dir),
        "stores": [str(path) for path in stores],
        "settings": {key: settings[key] for key in ("config", "version") if key in settings},
    }
    executed = kernel.execute(notebook, parameters)
    return nbformat.writes(executed) + "\n", page.render(executed)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="python -m calibench.report", description=__doc__)
    parser.add_argument("--experiment-dir", type=Path, required=True, help="results/<experiment>")
    parser.add_argument("--settings", required=True, help="JSON: config (completed), version (default: this)")
    parser.add_argument(
        "--stores",
        type=Path,
        nargs="*",
        default=[],
        metavar="STORE_DIR",
        help="decoded stores of its data sets",
    )
    parser.add_argument("--notebook", type=Path, required=True, help="notebooks/report.ipynb")
    parser.add_argument("--out-notebook", type=Path, required=True, help="executed notebook to write")
    parser.add_argument("--out", type=Path, required=True, help="HTML to write")
    args = parser.parse_args(argv)
    executed, html = report(args.experiment_dir, parse_settings(args.settings), args.stores, args.notebook)
    write_text(args.out_notebook, executed)
    write_text(args.out, html)
    log.info("%s: %.1f MB", args.out, len(html) / 1e6)


if __name__ == "__main__":
    run(main)
