"""What a run gives back to the shell."""

WAITING = 6
"""All is drawn but stages that wait for picks."""
NOT_AS_LOCKED = 8
"""An image is not the one that the lock file has."""
