"""Numbers printed in the papers, one CSV each, and checks of them that need no numbers of ours."""

from pathlib import Path

FOLDER = Path(__file__).parent


def papers() -> dict[str, Path]:
    """The papers with printed numbers: {name: CSV}."""
    return {path.stem: path for path in sorted((FOLDER / "printed").glob("*.csv"))}


def printed_file(name: str) -> Path:
    """The CSV of printed numbers for ``tables.published``, which is the name of a paper or the path of a CSV."""
    return papers().get(name, Path(name))
