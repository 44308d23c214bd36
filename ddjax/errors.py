"""The one exception that means: what the user asked for cannot be done."""


class InputError(ValueError):
    """A setting, file or folder is wrong, and the message says which and why.

    Raised before compute is spent. `ddjax.main` prints it as one line and exits
    with code 2; every other exception is a defect of ddjax and keeps its traceback.
    """
