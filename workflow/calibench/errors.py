"""The one exception that means: the user can mend this."""

import difflib
from collections.abc import Iterable


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class UserError(Exception):
    """A mistake in data, configuration or environment, told in one sentence that names what to change.

    Names and cells quoted in it come from users' files: line breaks and terminal escapes are shown, not sent.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(map(_shown, sentence)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: the closest known one, or all there are."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(names) or 'none'}"
