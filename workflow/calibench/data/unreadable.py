"""The exception of one image that cannot be used."""


class Unreadable(Exception):
    """One image cannot be used; the message says why, without the file's name."""
