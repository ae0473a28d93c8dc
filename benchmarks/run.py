"""All benchmarks: what was measured, beside what, their ratio and whether a goal is met.

make bench                                  everything: about a quarter of an hour on two cores
python benchmarks/run.py --quick            smaller, fewer rounds: two minutes, noisy
python benchmarks/run.py store listing      only these
python benchmarks/run.py --write            put the table into docs/benchmarks.md as well
"""

import argparse
import datetime
import os
import platform
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = (
    "throughput",
    "around",
    "graphs",
    "regimes",
    "store",
    "listing",
    "planning",
    "metrics",
    "heads",
    "demo",
)
HEAD = ["benchmark", "measured", "reference", "ratio", "ratio of CPU time", "goal", "met", "note"]


def suite() -> dict:
    """The benchmarks by name."""
    from benchmarks import data, heads, pipeline, training

    works = (
        training.throughput,
        training.around,
        training.graphs,
        training.regime_steps,
        data.decoding,
        data.listing,
    )
    return dict(
        zip(NAMES, (*works, pipeline.planning, pipeline.metrics, heads.heads, pipeline.demo), strict=True)
    )


def machine(threads: int) -> str:
    """One line on where this was measured."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*: (.*)", info.read_text())):
        model = found[1]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    day = datetime.datetime.now(datetime.UTC).date()
    return f"{day}: {model}, {os.cpu_count()} cores{gpu}, {threads} torch threads, torch {torch.__version__}, {load}."


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def line(result) -> list[str]:
    """The cells of one result."""
    numbers = ["" if x is None else f"{x:.3g}" for x in (result.ratio, result.cpu_ratio)]
    goal = "" if result.goal is None else f"{'≥' if result.better == 'more' else '≤'} {result.goal:g}"
    return [result.name, result.measured, result.reference, *numbers, goal, result.verdict, result.note]


def markdown(results: list, where: str) -> str:
    """The results as Markdown: one table, then the detail tables."""
    text = f"Measured {where}\n\n" + _row(HEAD) + _row(["---"] * len(HEAD))
    text += "".join(_row(line(result)) for result in results)
    for result in results:
        if result.rows:
            heads = (
                ["regime", "ratio", "ratio of CPU time", ""]
                if len(result.rows[0]) == 4
                else ["part", "core-s", "share"]
            )
            text += f"\n**{result.name}**\n\n" + _row(heads) + _row(["---"] * len(heads))
            text += "".join(map(_row, result.rows))
    return text


def write_page(text: str) -> None:
    """Replace what stands between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- measured -->\n", "<!-- /measured -->"
    before, _, rest = page.partition(begin)
    PAGE.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="torch threads (default: all cores)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="DataLoader workers of the plain loop"
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores of the demo")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark '{min(unknown)}'; there are: {', '.join(NAMES)}")
    options.workflow = ROOT / "workflow"
    import torch

    torch.set_num_threads(options.threads)
    where = machine(options.threads)
    print(where)
    results, works = [], suite()
    for name in options.names or NAMES:
        for result in works[name](options):
            results.append(result)
            print(" | ".join(line(result)), flush=True)
            for row in result.rows:
                print("    " + "  ".join(row), flush=True)
    if options.write:
        write_page(markdown(results, where))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]
    main()
