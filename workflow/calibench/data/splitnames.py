"""The usual spellings of train, val and test, for columns, folders and names of tar files."""

SPELLINGS = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "ts"),
}
SPLITS = tuple(SPELLINGS)
SPLIT_OF = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}


def split_of(name: str) -> str:
    """The split that a name means, ``''`` if none; upper case and spaces around it do not matter.

    >>> split_of("Training"), split_of("dev"), split_of("glioma")
    ('train', 'val', '')
    """
    return SPLIT_OF.get(name.strip().casefold(), "")
