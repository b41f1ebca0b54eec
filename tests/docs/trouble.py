"""What goes wrong."""


class Wrong(Exception):
    """What a page says is not so."""


class Trouble(Exception):
    """It could not be tried."""
