"""A chat server: rooms, nicknames, history, an idle timer; spoken to with plain telnet.

    midair run examples/chat/chat.py
    telnet localhost 4000          (type a name, then talk; /help lists what else there is)

Now change something below, such as the text in `Room.say`, and save. Nobody is disconnected, and the next line that
somebody says looks new. Stop the server with Ctrl-C and start it again: the rooms still know what was said.
"""

import os
import time

from midair import Service, Space
from midair.services.net import Lines


class Room:
    """A place to talk. What was said stays; who is here does not, since nobody is after a restart."""

    __transient__ = ("talkers",)
    kept = 100

    def __init__(self, name: str) -> None:
        self.name = name
        self.history: list[str] = []
        self.talkers: list[Talker] = []

    def __resume__(self, space: Space) -> None:
        self.talkers = []

    def say(self, who: str, text: str) -> None:
        self.tell(f"{who}: {text}")

    def tell(self, line: str) -> None:
        self.history = [*self.history, line][-self.kept :]
        for talker in self.talkers:
            talker.send(line)


class Talker(Lines):
    """One person, connected."""

    service: "Chat"
    nick = ""
    room: Room | None = None

    def opened(self) -> None:
        self.active = time.monotonic()
        self.send("Welcome. What is your name?")

    def closed(self, reason: BaseException | None) -> None:
        self.leave()

    def line(self, text: str) -> None:
        self.active = time.monotonic()
        if not self.nick:
            self.sign_in(text.strip())
        elif text.startswith("/"):
            self.command(*text[1:].split(maxsplit=1))
        elif text and self.room:
            self.room.say(self.nick, text)

    def sign_in(self, name: str) -> None:
        if not name.isidentifier() or len(name) > 20:
            self.send("A name has up to 20 letters, digits and underscores, and begins with a letter. Yours?")
        elif self.service.find(name):
            self.send(f"{name} is here already. Another name?")
        else:
            self.nick = name
            self.enter("lobby")

    def enter(self, name: str) -> None:
        self.leave()
        self.room = self.service.room(name)
        for line in self.room.history[-10:]:
            self.send(line)
        self.room.talkers.append(self)
        self.room.tell(f"* {self.nick} is in {name}")

    def leave(self) -> None:
        if self.room:
            self.room.talkers.remove(self)
            self.room.tell(f"* {self.nick} left")
            self.room = None

    # --- what one can type after a slash

    def command(self, name: str = "help", rest: str = "") -> None:
        action = getattr(self, f"do_{name}", None)
        if action:
            action(rest.strip())
        else:
            self.send(f"There is no /{name}; /help lists what there is.")

    def do_help(self, _: str) -> None:
        """this list"""
        for name in sorted(dir(self)):
            if name.startswith("do_"):
                self.send(f"/{name[3:]:8} {getattr(self, name).__doc__}")

    def do_join(self, name: str) -> None:
        """ROOM: go there"""
        if name.isidentifier() and len(name) <= 20:
            self.enter(name)
        else:
            self.send("Which room? /join NAME")

    def do_nick(self, name: str) -> None:
        """NAME: be called that from now on"""
        if not name.isidentifier() or len(name) > 20 or self.service.find(name):
            self.send("Not that name; it is taken, or not a name.")
            return
        before, self.nick = self.nick, name
        if self.room:
            self.room.tell(f"* {before} is now {name}")

    def do_rooms(self, _: str) -> None:
        """the rooms, and how many are in each"""
        for room in self.service.rooms.values():
            self.send(f"{room.name:20} {len(room.talkers)}")

    def do_who(self, _: str) -> None:
        """who is here"""
        if self.room:
            self.send(", ".join(talker.nick for talker in self.room.talkers))

    def do_quit(self, _: str) -> None:
        """goodbye"""
        self.send("Goodbye.")
        self.close()


class Chat(Service):
    """Rooms, and the people in them."""

    idle_limit = 1800.0  # seconds of silence after which somebody is sent away

    def __init__(self, port: int = 4000) -> None:
        self.port = port
        self.rooms: dict[str, Room] = {"lobby": Room("lobby")}

    async def start(self) -> None:
        await self.listen(self.port, Talker)
        self.every(30.0, self.send_away)

    def room(self, name: str) -> Room:
        if name not in self.rooms:
            self.rooms[name] = Room(name)
        return self.rooms[name]

    def talkers(self) -> list[Talker]:
        return [c for c in self.connections if isinstance(c, Talker)]

    def find(self, nick: str) -> Talker | None:
        return next((talker for talker in self.talkers() if talker.nick == nick), None)

    def send_away(self) -> None:
        for talker in self.talkers():
            if time.monotonic() - talker.active > self.idle_limit:
                talker.send("You were silent for a long time. Goodbye.")
                talker.close()


def build(space: Space) -> None:
    space["chat"] = Chat(int(os.environ.get("PORT", "4000")))
