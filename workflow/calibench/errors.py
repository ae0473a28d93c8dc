"""The exception for mistakes that the user can correct."""

import difflib
from collections.abc import Iterable


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class UserError(Exception):
    """A mistake in data, configuration or environment; one sentence says what is wrong and what to change.

    The sentence may quote names and cells of users' files: it shows line breaks and terminal escapes as text.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(map(_shown, sentence)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the closest known name, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(names) or 'none'}"
