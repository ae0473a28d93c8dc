"""Make the report: two HTML pages that open without a network, and a notebook to go on from."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.files import write_text
from calibench.report import kernel, page
from calibench.report.experiment import open_experiment
from calibench.report.problems import lost_images

NOTEBOOK = Path(page.__file__).with_name("report.ipynb")
log = logging.getLogger(__name__)


def notebook(experiment_dir: Path, settings: dict[str, Any], stores: Sequence[Path]) -> str:
    """The executed notebook as text."""
    import nbformat

    parameters = {
        "experiment_dir": str(experiment_dir),
        "stores": [str(path) for path in stores],
        "settings": {key: settings[key] for key in ("config", "version") if key in settings},
    }
    return nbformat.writes(kernel.execute(NOTEBOOK, parameters)) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--experiment-dir", type=Path, required=True, help="results/<experiment>")
    parser.add_argument("--settings", required=True, help="JSON: config (completed), version (default: this)")
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="stores of its data sets")
    parser.add_argument("--out-notebook", type=Path, help="executed notebook to write")
    parser.add_argument("--out-papers", type=Path, help="HTML to write: the papers' numbers, checked")
    parser.add_argument("--out", type=Path, required=True, help="HTML to write: the report")
    args = parser.parse_args(argv)
    settings = cli.json_object(args.settings)
    experiment = open_experiment(args.experiment_dir, settings, args.stores)
    for path, name in ((args.out, "report"), (args.out_papers, "papers")):
        if path is not None:
            html = page.render(experiment, name)
            write_text(path, html)
            log.info("%s: %.1f MB", path, len(html) / 1e6)
    if args.out_notebook is not None:
        write_text(args.out_notebook, notebook(args.experiment_dir, settings, args.stores))
    for dataset, lost, total in lost_images(experiment):
        cli.tell(
            f"{lost:,} of the {total:,} listed images of {dataset} were missing or unreadable and took no part"
        )
