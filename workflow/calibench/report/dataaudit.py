"""What the audit of the images found (audit.json of each store), in section 1."""

from pathlib import Path
from typing import Any

from calibench.report.experiment import Experiment
from calibench.report.html import Html, details, heading, image, join, paragraph, plural, slug, table
from calibench.report.options import show

LEVELS = ("exact", "copy", "series")  # of likeness, as the audit names them


def data_audit(experiment: Experiment) -> Html:
    """Unreadable, blank, copied, conflicting and leaking images; nothing for data that were not audited."""
    return join(_dataset(experiment, dataset) for dataset in experiment.datasets)


def _splits(counts: dict[str, int]) -> str:
    """``12 (train 10, test 2)``."""
    inside = ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=_order) if n)
    return f"{sum(counts.values()):,}" + (f" ({inside})" if inside else "")


def _order(item: tuple[str, int]) -> int:
    return ("train", "val", "test").index(item[0])


def _rows(found: dict[str, Any]) -> list[list[str]]:
    exact, copy, series, floor = (found[key] for key in ("exact", "copy", "series", "error_floor"))
    listed = found["exact_between_listed_splits"]
    rows = [
        ["Images examined", f"{found['images']:,}"],
        ["Images kept", f"{found.get('kept', found['images']):,}"],
        ["Unreadable", f"{len(found['unreadable']):,}"],
        ["Blank", _splits(found["blank"])],
        [
            "Groups of identical images",
            f"{exact['clusters']:,} with {exact['images']:,} images; "
            + "".join(f"in both {pair.replace('-', ' and ')} {n:,}, " for pair, n in listed.items())
            + f"across classes {exact['clusters_across_classes']:,}",
        ],
        [
            "Pairs of copies: the same picture processed or flipped",
            f"{copy['pairs']:,}, flipped {copy['flipped_pairs']:,}, across classes {copy['pairs_across_classes']:,}",
        ],
        [
            "Pairs of one series, such as neighbouring slices",
            f"{series['pairs']:,}, flipped {series['flipped_pairs']:,}, "
            f"across classes {series['pairs_across_classes']:,}",
        ],
        *_leaks(found["leaks"]),
        ["Test images with a like one in test", _within(found["within_test"])],
        ["Identical images under different labels", f"{found['conflicting_images']:,}"],
        ["Error no classifier can avoid, from such conflicts", f"{100 * floor['test']:.3f} % of test"],
    ]
    rows += [[f"Dropped: {c}", _splits(n)] for c, n in found.get("dropped", {}).items()]
    return rows


def _leaks(leaks: dict[str, dict[str, dict[str, int]]]) -> list[list[str]]:
    """How many images of one split are like one of another, as listed or first drawn, and in what is kept."""
    names = {"train": "Training", "val": "Validation"}
    of = {"val": "a validation", "test": "a test"}
    rows = []
    for pair, before in leaks["before"].items():
        first, second = pair.split("-")
        after = leaks["after"].get(pair, {})
        told = (f"{level} {before[level]:,} → {after.get(level, 0):,}" for level in LEVELS)
        rows.append([f"{names[first]} images like {of[second]} image, before → after", ", ".join(told)])
    return rows


def _within(test: dict[str, float]) -> str:
    """What like images within test do to intervals."""
    told = ", ".join(f"{level} {test[level]:,}" for level in LEVELS)
    return (
        f"{told}; {test['images']:,} images in {test['groups']:,} groups tell as much as {test['effective']:,.0f} "
        f"independent ones, so intervals that draw single images may be {test['widening']:.2f} times too narrow; "
        "those in this report draw groups"
    )


def _dataset(experiment: Experiment, dataset: str) -> Html:
    found = experiment.store_json(dataset, "audit.json")
    if "leaks" not in found:  # not audited, switched off, or by a version before these counts
        return Html()
    body = table(
        ["Finding", "Images"],
        _rows(found),
        label=f"Audit of {dataset}",
        text_columns=[1],
        notes=[
            "Policy: "
            + ", ".join(f"{k.replace('_', ' ')} {show(v)}" for k, v in found["policy"].items())
            + "."
        ],
    )
    head = heading(f"Audit of {dataset}", slug("audit", dataset))
    return join([head, body, _unreadable(found["unreadable"]), _examples(experiment, dataset, found)])


def _unreadable(lost: list[dict[str, str]]) -> Html:
    """The files that could not be read, and why; the first 200."""
    if not lost:
        return Html()
    body = table(
        ["File", "Why"], [[u["filename"], u["why"]] for u in lost[:200]], label="Unreadable", text_columns=[1]
    )
    return details(plural(len(lost), "unreadable file"), body)


def _examples(experiment: Experiment, dataset: str, found: dict[str, Any]) -> Html:
    """Example pairs side by side, where their thumbnails are beside the store."""
    shown = []
    for example in found.get("examples", []):
        file = _thumbnail(experiment.stores[dataset], example.get("thumbnail", ""))
        if file is None:
            continue
        sides = [
            f"{example[side]['filename']} ({example[side]['label']}, {example[side]['split']})"
            for side in "ab"
        ]
        text = f"{example['kind']}, {example['where']}, likeness {example['likeness']:.3f}: {' and '.join(sides)}"
        shown.append(join([image(file, text, 1.0), paragraph(text, "note")]))
    return details(f"{len(shown)} example pairs", join(shown)) if shown else Html()


def _thumbnail(store: Path, name: str) -> Path | None:
    return next(iter(sorted(store.glob(f"*/{Path(name).name}"))), None) if name else None
