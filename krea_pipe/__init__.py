"""krea-pipe: declarative image pipelines for Krea 2."""

__version__ = "0.1.0"
