"""The one kind of error that is the caller's to mend."""


class InputError(ValueError):
    """What was asked for cannot be done: the text says what was wrong, received and accepted.

    The command line prints the text as it stands and exits with code 2, so it is one or two
    complete lines written for the person who typed the request.
    """
