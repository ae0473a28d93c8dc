"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in data, configuration or environment, told in one sentence that names what to change."""
