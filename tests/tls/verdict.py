"""How a check in Python ends that is not as it should be; shared with tests/interop."""


class Trouble(Exception):
    """The check could not be made."""


class Wrong(Exception):
    """The server did not do what it should."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)
