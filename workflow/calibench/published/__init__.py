"""Numbers printed in the papers, one CSV each, and what can be said of them without our own."""

from pathlib import Path

FOLDER = Path(__file__).parent


def papers() -> dict[str, Path]:
    """The papers whose printed numbers are here: name → its CSV."""
    return {path.stem: path for path in sorted((FOLDER / "printed").glob("*.csv"))}


def printed_file(name: str) -> Path:
    """The CSV of printed numbers that ``tables.published`` names: a paper's name, or the path of a CSV of one's own."""
    return papers().get(name, Path(name))
