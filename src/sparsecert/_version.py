"""The version, read by the build and written into every run folder and record."""

__version__ = "0.2.0"
