"""Perdure: a local AWS you can pause and resume."""

__version__ = "0.1.0"
