"""The engine: uvicorn's protocols on our own sockets, with limits, one write for a small answer, and sendfile.

engine.py   what all connections share: the application, limits, the clock, the drain
guard.py    one connection: uvicorn's protocol with deadlines, and the face that a service's connections have
answer.py   one answer on its way out
books.py    what was answered: metrics and the access log
"""

from .answer import Answer
from .books import AccessLog, Metrics
from .engine import Engine
from .guard import Guard
from .limits import Limits

__all__ = ["AccessLog", "Answer", "Engine", "Guard", "Limits", "Metrics"]
