"""What single frameworks need so that their applications can be edited while they answer."""

from __future__ import annotations

import sys
from typing import Any


class _Replaceable(dict[str, Any]):
    """View functions by endpoint, of which another may take an endpoint over.

    Flask asks `get` whether an endpoint is taken, and refuses a second function for it; requests are answered by `[...]`.
    """

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - none is ever in the way
        return default


def _allowed(_name: str) -> None:
    """In place of the check that refuses a registration after the first request."""


def open_for_edits(app: Any) -> None:
    """Let an application that has answered requests take registrations: Flask and its kin refuse them otherwise."""
    views = getattr(app, "view_functions", None)
    if type(views) is dict:
        app.view_functions = _Replaceable(views)
    blueprints = getattr(app, "blueprints", None)
    for one in (app, *(blueprints.values() if isinstance(blueprints, dict) else ())):
        if hasattr(one, "_check_setup_finished"):
            one._check_setup_finished = _allowed


def after_edit() -> None:
    """Django keeps what it made of `urlpatterns`; it is made again at the next request."""
    urls = sys.modules.get("django.urls")
    if urls is not None:
        urls.clear_url_caches()
