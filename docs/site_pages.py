"""What `make docs` adds to the pages of docs/: a first page, pages made from docstrings, and links that leave docs/.

mkdocs calls the functions `on_…`; the names of files and regimes are read, nothing of the package is imported by it.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from calibench.regimes.catalog import REGIMES, RegimeInfo, catalog  # noqa: E402

ROOMS = {"metrics": "Measures", "calibrators": "Calibrators"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")
# how an example gives what a regime asks for: 8 images, 3 classes
NEEDS = {
    "features": "features=torch.randn(8, 4)",
    "feature_map": "feature_map=torch.randn(8, 4, 2, 2)",
    "classifier": "classifier=torch.nn.Linear(4, 3)",
    "stages": "stages=[torch.randn(8, 6, 4, 4)]",
    "teacher_logits": "teacher_logits=torch.randn(8, 3)",
    "sample": "sample=torch.arange(8)",
    "host_sample": "host_sample=torch.arange(8)",
    "plain_logits": "plain_logits=torch.randn(8, 3), eval_logits=torch.randn(8, 3)",
    "second_view": "second_view=(torch.randn(8, 3), torch.randn(8, 4))",
    "step_seed": "step_seed=1",
}
INPUTS = {
    "val_logits": "val_logits=torch.randn(9, 3)",
    "val_targets": "val_targets=torch.arange(9) % 3",
    "matrix": "matrix=torch.full((3, 3), 1 / 3)",
    "other_settings": 'other_settings={"alpha": 0.5, "weights": "mix"}',
    "train_size": "train_size=8",
    "epochs": "epochs=4",
    "stage_shapes": "stage_shapes=[[6, 4, 4], [4, 2, 2]]",
}


def example(info: RegimeInfo) -> str:
    """One batch under a regime in one's own loop, as Python; a test runs it."""
    inputs, needs = list(info.inputs), list(info.needs)
    if info.name == "byot":  # its heads stand on maps
        inputs, needs = ["stage_shapes"], ["stages", "features"]
    given = "".join(f", {NEEDS[need]}" for need in dict.fromkeys(needs))
    lines = [
        "import torch",
        f"from calibench.regimes import {info.class_name}",
        "",
        f"regime = {info.class_name}(num_classes=3)",
        *([f"regime.prepare({', '.join(INPUTS[name] for name in inputs)})"] if inputs else []),
        "logits = torch.randn(8, 3, requires_grad=True)",
        "targets = torch.arange(8) % 3",
        f"loss = regime(logits, targets{given})",
        "loss.backward()",
        "regime.close_epoch()",
    ]
    return "\n".join(lines) + "\n"


def regimes_page() -> str:
    """Every regime: its docstring, its source, and an example."""
    parts = [
        "# Regimes, from their docstrings\n\nShapes: logits (B, K), targets (B,). [All in one table](../regimes.md).\n"
    ]
    for info in catalog().values():
        if info.file.parent == REGIMES:  # not those of packages that happen to be installed
            parts.append(
                f"## {info.label}\n\n`{info.name}`, {info.source}\n\n::: {info.module}.{info.class_name}\n    options: {{members: false}}\n"
            )
            parts.append(f"```python\n{example(info)}```\n")
    return "\n".join(parts)


def room_page(room: str) -> str:
    """The docstrings of the public functions of every file of a room."""
    files = sorted((ROOT / "workflow/calibench" / room).glob("*.py"))
    modules = [f"calibench.{room}.{path.stem}" for path in files if path.stem != "__init__"]
    return f"# {ROOMS[room]}, from their docstrings\n\n" + "\n".join(f"::: {module}\n" for module in modules)


def first_page() -> str:
    """The README, as if it lay in docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    moved = re.sub(r"\]\((?!https?:|#|docs/)([^)]+)\)", r"](../\1)", text)
    return moved.replace("](docs/", "](")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie in no file."""
    from mkdocs.structure.files import File

    pages = {"index.md": first_page(), "reference/regimes.md": regimes_page()}
    pages |= {f"reference/{room}.md": room_page(room) for room in ROOMS}
    config_page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    pages["config.md"] = re.sub(r"\]\(\.\./docs/", "](", config_page)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link that leaves docs/ becomes the name of the file; that to the page of keys leads to it."""

    def told(link: re.Match) -> str:
        if ":" in link[2]:
            return link[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link[2]))
        if place == "../config/README.md":
            up = posixpath.relpath("config.md", posixpath.dirname(page.file.src_uri) or ".")
            return f"[{link[1]}]({up}{link[3] or ''})"
        outside = place.removeprefix("../")
        return (
            link[0]
            if outside == place
            else f"`{outside}`"
            if link[1] in outside
            else f"{link[1]} (`{outside}`)"
        )

    return LINK.sub(told, markdown)
