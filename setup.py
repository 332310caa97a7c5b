"""The list of subpackages is found, so that none can be forgotten; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

found = find_packages(include=["runtime*", "services*", "console*"], exclude=["runtime._top*"])
setup(packages=["midair", "midair.examples", *(f"midair.{name}" for name in found)])
