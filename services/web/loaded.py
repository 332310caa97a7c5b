"""A site's root made by a class in a file: `--module FILE:CLASS`."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable
from typing import Any

from ...runtime.errors import ServiceError
from .apps.loading import attribute_of, file_and_class, module_of
from .errors import WebError
from .request import Request
from .resource import Resource

log = logging.getLogger("midair.web")


class Loaded(Resource):
    """Stands for an instance of a class that is found by its file, wherever the server is started from.

    *In a snapshot:* the file, the name, and what the instance holds. When the file is gone at the next start, that is kept, the address
    answers 503, and the log says which file is missing.
    """

    __transient__ = ("_instance",)
    isLeaf = True  # noqa: N815 - the name that resources have

    def __init__(self, target: str) -> None:
        self.file, self.class_name = file_and_class(target)
        self._held: dict[str, Any] | None = None
        self._instance: Resource | None = self._make()

    @property
    def code_folder(self) -> str:
        """Where its module is, for who watches it."""
        return os.path.dirname(self.file)

    def _class(self) -> type[Resource]:
        folder, name = os.path.split(self.file)
        if not os.path.isfile(self.file):
            raise ServiceError(f"the file {self.file} is missing, and the site's root is its {self.class_name}")
        found = attribute_of(module_of(name.removesuffix(".py"), folder), self.class_name)
        if not (isinstance(found, type) and hasattr(found, "respond")):
            raise ServiceError(f"{self.class_name} in {self.file} is not a Resource class")
        return found

    def _make(self) -> Resource:
        return self._class()()

    def __getstate__(self) -> dict[str, Any]:
        held = self._held if self._instance is None else dict(vars(self._instance))
        return {"file": self.file, "class_name": self.class_name, "_held": held}

    def __resume__(self, space: Any) -> None:
        self._instance = None
        self._revive()

    def _revive(self) -> Resource | None:
        if self._instance is None:
            try:
                kind = self._class()
            except ServiceError as error:
                log.error("%s; what it held is kept", error)  # noqa: TRY400 - the sentence says it all
                return None
            self._instance = kind.__new__(kind)
            vars(self._instance).update(self._held or {})
            self._held = None
        return self._instance

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        instance = self._revive()
        if instance is None:
            raise WebError(503, "this site is not there at the moment")
        return request.site.serve_now(instance, request)

    async def respond_websocket(self, request: Request) -> None:
        instance = self._revive()
        if instance is None:
            raise WebError(503)
        node = await request.site.find(instance, request)
        await node.respond_websocket(request)
