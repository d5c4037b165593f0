"""What the converter says where a network is too much for it."""


class UnsupportedError(ValueError):
    """What a network computes has no counterpart here; the message names the primitive."""
