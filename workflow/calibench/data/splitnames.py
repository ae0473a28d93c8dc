"""The usual spellings of train, val and test, wherever a user writes them: columns, folders, names of tar files."""

SPELLINGS = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "ts"),
}
SPLITS = tuple(SPELLINGS)
_SPLIT_OF = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}


def split_of(name: str) -> str:
    """The split that a name spells, ``''`` if none; case and spaces around it do not matter.

    >>> split_of("Training"), split_of("dev"), split_of("glioma")
    ('train', 'val', '')
    """
    return _SPLIT_OF.get(name.strip().casefold(), "")


def told() -> str:
    """All spellings, for a message."""
    others = [
        spelling for spellings in SPELLINGS.values() for spelling in spellings if spelling not in SPLITS
    ]
    return f"{', '.join(SPLITS)} (nor {', '.join(others)})"
