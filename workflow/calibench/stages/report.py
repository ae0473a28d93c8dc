"""Make the report: an executed notebook, and one HTML file that opens without a network."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.errors import UserError
from calibench.files import write_text
from calibench.report import kernel, open_experiment, page
from calibench.report.summary import lost_images

NOTEBOOK = Path(page.__file__).with_name("report.ipynb")
log = logging.getLogger(__name__)


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
    open_experiment(experiment_dir, settings, list(stores))  # a mistake is told before a kernel starts
    parameters = {
        "experiment_dir": str(experiment_dir),
        "stores": [str(path) for path in stores],
        "settings": {key: settings[key] for key in ("config", "version") if key in settings},
    }
    executed = kernel.execute(notebook, parameters)
    return nbformat.writes(executed) + "\n", page.render(executed)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--experiment-dir", type=Path, required=True, help="results/<experiment>")
    parser.add_argument("--settings", required=True, help="JSON: config (completed), version (default: this)")
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="stores of its data sets")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK, help="another notebook than the package's")
    parser.add_argument("--out-notebook", type=Path, required=True, help="executed notebook to write")
    parser.add_argument("--out", type=Path, required=True, help="HTML to write")
    args = parser.parse_args(argv)
    settings = cli.json_object(args.settings)
    executed, html = report(args.experiment_dir, settings, args.stores, args.notebook)
    write_text(args.out_notebook, executed)
    write_text(args.out, html)
    log.info("%s: %.1f MB", args.out, len(html) / 1e6)
    for sentence in lost_images(open_experiment(args.experiment_dir, settings, args.stores)):
        cli.tell(sentence)
