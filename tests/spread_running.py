"""Spread services in a space of their own, started and stopped as a server does it, for tests over real sockets."""

import contextlib

from midair import Space
from midair.runtime.book import Book


@contextlib.asynccontextmanager
async def running(*services):
    """These services in a space, started as a server does it and stopped at the end of the block."""
    space = Space()
    for number, service in enumerate(services):
        if service._space is None:
            space[f"service{number}"] = service
        service._book = Book(service, touch=lambda: None)
        await service.start()
    try:
        yield space
    finally:
        for service in services:
            await stopped(service)


async def stopped(service):
    """Stop a service as a server does it."""
    if service._book is not None:
        service._book.close_listeners()
        await service.stop()
        await service._book.close(drain=1.0)
        service._book = None


def port_of(service):
    return int(service.addresses[-1].rpartition(":")[2])


def at(service):
    return f"127.0.0.1:{port_of(service)}"
