"""A bank that never forgets what it confirmed, not even after kill -9.

    midair run examples/bank/bank.py
    telnet localhost 7100
    open ann 100
    open bob 0
    transfer t1 ann bob 30
    kill -9 $(cat bank.pid); midair run examples/bank/bank.py
    telnet localhost 7100
    balance bob

An answer comes when the transfer is on disk, so `balance bob` still says 30. Transfers are journaled: between two
snapshots each is one record, and the next start makes them again. Change `fee` and save: transfers from then on pay it,
and a replay still makes the earlier ones without.
"""

import os

from midair import Service, Space
from midair.runtime.journal import journaled, now
from midair.runtime.streams import Reader, Writer


class Refused(Exception):
    """The bank does not do that, and says why."""


def fee(amount: int) -> int:
    """What the bank keeps of a transfer."""
    return 0 * amount


class Bank(Service):
    """Accounts by name, and what was done by number; money is whole cents."""

    port = int(os.environ.get("PORT", "7100"))

    def __init__(self) -> None:
        self.accounts: dict[str, int] = {"the bank": 0}
        self.transfers: dict[str, float] = {}

    async def start(self) -> None:
        await self.listen(self.port, self.on_connect)

    # --- what changes money: on disk before anybody hears of it

    @journaled
    def open(self, name: str, amount: int) -> str:
        if name in self.accounts:
            raise Refused(f"{name} has an account")
        self.accounts[name] = amount
        return f"{name} has {amount}"

    @journaled
    def transfer(self, number: str, source: str, target: str, amount: int) -> str:
        if number in self.transfers:
            return f"{number} was done before"  # so that a client who heard nothing can ask again
        if not 0 < amount <= self.accounts.get(source, 0) or target not in self.accounts:
            raise Refused(f"{source} cannot pay {amount} to {target}")
        kept = fee(amount)
        self.accounts[source] -= amount
        self.accounts[target] += amount - kept
        self.accounts["the bank"] += kept
        self.transfers[number] = now()
        return f"{number} done"

    # --- the line protocol

    async def on_connect(self, reader: Reader, writer: Writer) -> None:
        while line := await reader.readline():
            try:
                answer = await self.answer(line.decode().split())
            except (Refused, ValueError, TypeError) as error:
                answer = f"no: {error}"
            writer.write(answer.encode() + b"\n")
            await writer.drain()

    async def answer(self, words: list[str]) -> str:
        match words:
            case ["open", name, amount]:
                return await self.open(name, int(amount))
            case ["transfer", number, source, target, amount]:
                return await self.transfer(number, source, target, int(amount))
            case ["balance", name]:
                return str(self.accounts.get(name, "no account"))
            case ["done", number]:
                return "yes" if number in self.transfers else "no"
            case ["total"]:
                return str(sum(self.accounts.values()))
            case _:
                return "open NAME AMOUNT | transfer NUMBER FROM TO AMOUNT | balance NAME | done NUMBER | total"


def build(space: Space) -> None:
    space["bank"] = Bank()
