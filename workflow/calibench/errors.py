"""The one exception that means: the user can mend this."""


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class UserError(Exception):
    """A mistake in data, configuration or environment, told in one sentence that names what to change.

    Names and cells quoted in it come from users' files: line breaks and terminal escapes are shown, not sent.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(map(_shown, sentence)))
