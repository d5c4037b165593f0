"""The error of whatever reads examples."""


class DataError(ValueError):
    """Records or arrays that cannot be used as they are."""
