"""The one error that is the user's to mend: shown as its message, without a traceback."""


class UserError(ValueError):
    """Something in the config, the data or the machine that the user can change.

    The message names the config key, the value and the fix.
    """
