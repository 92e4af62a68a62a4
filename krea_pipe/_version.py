"""The version of krea-pipe."""

__version__ = "0.1.0"
