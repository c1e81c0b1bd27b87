"""The version of this package."""

#: Also in pyproject.toml, which reads it from here.
VERSION = "0.1.0"
