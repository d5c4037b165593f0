"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint is missing, unreadable, or could not be written."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint is whole but belongs to another network or optimiser."""


class FrozenPartError(CheckpointMismatchError):
    """A checkpoint is whole, but the file of what stayed frozen is missing, or another one."""
