"""A kind of service from a package of its own.

    pip install ./examples/plugin
    midair make clock --port 3700 --zone CET
    midair run clock.spl
    telnet localhost 3700

Each connection is told the time. The kind is in the list of 'midair make' as soon as its package is installed.
"""

import argparse
import time

from midair import Connection, Service


class Teller(Connection):
    """One connection, which is told the time once."""

    service: "Clock"

    def opened(self) -> None:
        self.write(f"{self.service.told()}\r\n".encode())
        self.close()


class Clock(Service):
    """A clock: tells the time to whoever connects."""

    def __init__(self, port: int, zone: str) -> None:
        self.port, self.zone = port, zone
        self.asked = 0

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=3700, help="where it listens (default: 3700)")
        parser.add_argument("--zone", default="local", help="how its time is called (default: local)")

    @classmethod
    def make(cls, options: argparse.Namespace) -> "Clock":
        return cls(options.port, options.zone)

    async def start(self) -> None:
        await self.listen(self.port, Teller)

    def told(self) -> str:
        self.asked += 1
        return f"It is {time.strftime('%H:%M:%S')} {self.zone}; asked {self.asked} times."
