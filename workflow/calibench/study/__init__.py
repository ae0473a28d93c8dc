"""The folder of a study that uses the workflow without a clone: what ``calibench init`` writes."""

from pathlib import Path
from string import Template

from calibench.errors import UserError
from calibench.files import write_text

FOLDER = Path(__file__).parent
# file of the study → file beside this one
FILES = {
    "Snakefile": "Snakefile.txt",
    "README.md": "README.md",
    "config/config.yaml": "config.yaml",
    "slurm/config.yaml": "slurm.yaml",
}
FILLED = ("Snakefile", "README.md")


def write(folder: Path, repository: str, tag: str) -> list[Path]:
    """Write the files of a study.

    Args:
        folder: where; it may exist, the files may not.
        repository: ``owner/name`` on GitHub.
        tag: version of the rules.

    Returns:
        The files written.

    Raises:
        UserError: if a file is there already: nothing is written over it.
    """
    there = [folder / name for name in FILES if (folder / name).exists()]
    if there:
        raise UserError(f"{there[0]} is there already; name another folder or move it away")
    words = {"name": folder.resolve().name, "repository": repository, "tag": tag}
    for name, source in FILES.items():
        text = (FOLDER / source).read_text(encoding="utf-8")
        write_text(folder / name, Template(text).substitute(words) if name in FILLED else text)
    return [folder / name for name in FILES]
