"""Make Tables 1 to 3 and the layouts of the config, with published numbers, as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_text
from calibench.published import printed_file
from calibench.published.printed import Published, read_published
from calibench.tables.cells import Numbers
from calibench.tables.grid import to_csv, to_markdown, to_tex
from calibench.tables.layouts import LAYOUTS, SETTINGS, check_settings, of_config, published_for
from calibench.tables.long import read_long


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="collected metrics.csv of the experiment")
    parser.add_argument("--settings", required=True, help=f"JSON object with {', '.join(SETTINGS)}")
    parser.add_argument("--posthoc", type=Path, help="collected posthoc.csv, for Table 2")
    parser.add_argument("--ensembles", type=Path, help="collected snapshots.csv, for runs as ols@snapshots6")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder for the .csv, .md and .tex files")
    args = parser.parse_args(argv)
    settings = check_settings(cli.json_object(args.settings))
    metrics = read_long(args.metrics)
    published = read_published(printed_file(settings["published"])) if settings["published"] else None
    posthoc = read_long(args.posthoc) if args.posthoc else None
    ensembles = read_long(args.ensembles) if args.ensembles else None

    def numbers(published: Published | None, printed_as: dict[str, str] | None = None) -> Numbers:
        return Numbers(metrics, settings, published, posthoc, None, ensembles, printed_as)

    grids = {name: layout(numbers(published)) for name, layout in LAYOUTS.items()}
    for layout in settings["layouts"]:
        beside = published_for(settings["published"], layout)
        grids[layout["name"]] = of_config(numbers(beside, layout.get("printed_as")), layout)
    for name, grid in grids.items():
        for suffix, write in {"csv": to_csv, "md": to_markdown, "tex": to_tex}.items():
            write_text(args.out_dir / f"{name}.{suffix}", write(grid))
