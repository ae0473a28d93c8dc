"""The folder that ``calibench init`` writes: a study that uses the workflow without a clone."""

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
    """Write the files of a study with the rules of ``repository`` (owner/name on GitHub) at ``tag``; returns them.

    UserError if one of the files exists: no file is overwritten.
    """
    there = [folder / name for name in FILES if (folder / name).exists()]
    if there:
        raise UserError(f"{there[0]} exists already; choose another folder or move it away")
    words = {"name": folder.resolve().name, "repository": repository, "tag": tag}
    for name, source in FILES.items():
        text = (FOLDER / source).read_text(encoding="utf-8")
        write_text(folder / name, Template(text).substitute(words) if name in FILLED else text)
    return [folder / name for name in FILES]
