"""Telnet without a socket: `Telnet` turns bytes into events and events into bytes."""

from .protocol import (
    AreYouThere,
    Command,
    Data,
    Event,
    Interrupt,
    OptionChanged,
    Telnet,
    TerminalType,
    WindowSize,
)

__all__ = [
    "AreYouThere",
    "Command",
    "Data",
    "Event",
    "Interrupt",
    "OptionChanged",
    "Telnet",
    "TerminalType",
    "WindowSize",
]
