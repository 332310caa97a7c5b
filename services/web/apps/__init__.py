"""Applications in the tree: anything that speaks ASGI or WSGI, by path, live-edited.

mount.py      the resource that hands requests and websockets to an application
lifespan.py   an application's start and stop
renew.py      a new application object from edited modules, when registrations changed
loading.py    from `package:app` and `FILE:CLASS` to objects
"""

from .mount import AppMount

__all__ = ["AppMount"]
