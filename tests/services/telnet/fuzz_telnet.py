"""What atheris runs: any bytes into the telnet machine, whole and cut, for a bounded time.

    python tests/services/telnet/fuzz_telnet.py -max_total_time=60 -dict=... FOLDER-OF-SEEDS

`test_telnet_fuzz.py` starts it with the dictionary and the seeds below; a finding is an uncaught exception.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["midair.services.telnet"]):
    from midair.services.telnet.protocol import ECHO, IAC, SE, SGA, Data, Telnet, WindowSize

from midair.runtime.errors import LimitExceeded

WORDS = {
    "iac_iac": b"\xff\xff", "will_ttype": b"\xff\xfb\x18", "wont_ttype": b"\xff\xfc\x18", "do_echo": b"\xff\xfd\x01",
    "dont_echo": b"\xff\xfe\x01", "will_naws": b"\xff\xfb\x1f", "mark": b"\xff\xfd\x06", "sb_ttype": b"\xff\xfa\x18\x00",
    "sb_naws": b"\xff\xfa\x1f\x00\x50\x00\x18", "se": b"\xff\xf0", "ip": b"\xff\xf4", "brk": b"\xff\xf3", "ayt": b"\xff\xf6",
    "ec": b"\xff\xf7", "el": b"\xff\xf8", "nop": b"\xff\xf1", "cr_nul": b"\r\x00", "cr_lf": b"\r\n",
}  # fmt: skip

SEEDS = {
    "login": b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xfa\x18\x00XTERM\xff\xf0anna\r\nsecret\r\x00",
    "keys": b"1 + 1\r\n\xff\xf7\xff\xf4while True: pass\r\x00\xff\xf3",
    "unfinished": b"\xff\xfa\x18\x00xterm\xff\xfa\x1f\xff\xff\xff\xff\x00\x18",
    "options": bytes(
        byte for option in range(0, 40, 3) for verb in (251, 252, 253, 254) for byte in (255, verb, option)
    ),
}


def events_of(chunks: list[bytes]) -> tuple[list[object], bytes, bool]:
    """(events with neighbouring data joined, what is answered, whether it was refused)."""
    telnet = Telnet(ours=frozenset({ECHO, SGA}), max_negotiations=300)
    events: list[object] = []
    try:
        for chunk in chunks:
            for event in telnet.receive(chunk):
                if isinstance(event, Data) and events and isinstance(events[-1], Data):
                    events[-1] = Data(events[-1].data + event.data)
                else:
                    events.append(event)
    except LimitExceeded:
        return [], b"", True
    assert len(telnet._sub) <= 512
    output = telnet.take_output()
    assert len(output) <= 9 * telnet.negotiations
    telnet.receive(bytes((IAC, SE, IAC, SE)))
    assert Data(b"here") in telnet.receive(b"\xff\xf1here"), "the machine goes on"
    return events, output, False


def one(data: bytes) -> None:
    """One stream: the same events whole, byte by byte, and cut where its own first bytes say."""
    whole = events_of([data])
    assert events_of([data[i : i + 1] for i in range(len(data))]) == whole
    cut = data[0] % (len(data) + 1) if data else 0
    assert events_of([data[:cut], data[cut:]]) == whole
    for event in whole[0]:
        if isinstance(event, WindowSize):
            assert 0 < event.columns <= 500
            assert 0 < event.rows <= 500


def dictionary() -> str:
    """`WORDS` as libFuzzer reads them."""
    written = {name: "".join(rf"\x{byte:02x}" for byte in word) for name, word in WORDS.items()}
    return "".join(f'{name}="{text}"\n' for name, text in written.items())


def write_seeds(folder: Path) -> None:
    for name, seed in SEEDS.items():
        (folder / name).write_bytes(seed)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
