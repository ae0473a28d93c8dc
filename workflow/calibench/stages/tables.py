"""Make Tables 1 to 3, the published numbers beside ours, as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_text
from calibench.published import printed_file
from calibench.published.printed import read_published
from calibench.tables.cells import Numbers
from calibench.tables.grid import to_csv, to_markdown, to_tex
from calibench.tables.layouts import LAYOUTS, SETTINGS, check_settings
from calibench.tables.long import read_long


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="collected metrics.csv of the experiment")
    parser.add_argument("--settings", required=True, help=f"JSON object with {', '.join(SETTINGS)}")
    parser.add_argument(
        "--posthoc", type=Path, help="collected posthoc.csv: adds hard + temperature to Table 2"
    )
    parser.add_argument(
        "--out-dir", type=Path, required=True, help="folder for table1 to table3 (.csv, .md, .tex)"
    )
    args = parser.parse_args(argv)
    settings = check_settings(cli.json_object(args.settings))
    metrics = read_long(args.metrics)
    published = read_published(printed_file(settings["published"])) if settings["published"] else None
    posthoc = read_long(args.posthoc) if args.posthoc else None
    for name, layout in LAYOUTS.items():
        grid = layout(Numbers(metrics, settings, published, posthoc))
        for suffix, write in {"csv": to_csv, "md": to_markdown, "tex": to_tex}.items():
            write_text(args.out_dir / f"{name}.{suffix}", write(grid))
