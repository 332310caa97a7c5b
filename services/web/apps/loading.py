"""From what a person writes on the command line to an object: `package:app`, `FILE:CLASS`."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from ....runtime.errors import ServiceError


def split(target: str) -> tuple[str, str]:
    """`package.module:app.attribute` as its two halves; without a colon the attribute is `app`."""
    module, _, attribute = target.partition(":")
    return module, attribute or "app"


def module_of(name: str, folder: str) -> ModuleType:
    """Import a module from a folder, editable from then on.

    Raises:
        ServiceError: there is none of that name.
    """
    from ....runtime import rebuild

    if folder not in sys.path:
        sys.path.insert(0, folder)
    rebuild.record(folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name + ".").startswith(error.name + "."):
            raise ServiceError(f"there is no module {name!r} in {folder}; nothing is mounted") from None
        raise


def is_there(name: str, folder: str) -> bool:
    """Whether a module of that name can be found from a folder. Nothing is imported, so nothing runs."""
    if name in sys.modules:
        return True
    places: Any = [folder, *sys.path]
    so_far = ""
    for part in name.split("."):
        so_far = f"{so_far}.{part}".lstrip(".")
        spec = PathFinder.find_spec(so_far, places) if places is not None else None
        if spec is None:
            return False
        places = spec.submodule_search_locations
    return True


def attribute_of(module: ModuleType, path: str) -> Any:
    """Raises:
    ServiceError: the module has no such attribute.
    """
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ServiceError(f"{module.__name__} has no {path!r}; nothing is mounted") from None
    return found


def file_and_class(target: str) -> tuple[str, str]:
    """`FILE:CLASS` as an absolute path and a name.

    Raises:
        ServiceError: it is not of that form, or there is no such file.
    """
    file, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise ServiceError(f"{target!r} is not FILE:CLASS, such as site.py:Root")
    path = os.path.abspath(file)
    if not os.path.isfile(path):
        raise ServiceError(f"there is no file {file}; nothing is mounted")
    if not os.path.basename(path).removesuffix(".py").isidentifier():
        raise ServiceError(f"{os.path.basename(path)} cannot be imported: its name is not a Python name")
    return path, name
