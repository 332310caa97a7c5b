"""Looking into files: everything is seen, nothing runs."""

import collections
import datetime as dt
import json
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
import snapshot_things as things
from snapshot_things import Book, Key, Thing

from midair.runtime import snapshot
from midair.runtime.errors import NotTrusted, SnapshotError
from midair.runtime.snapshot.container import Writer
from midair.runtime.space import Space


def world() -> Space:
    space = Space()
    space["book"] = Book()
    shared = [1, {"deep": Thing(name="shared")}]
    loop: tuple[list[object]] = ([],)
    loop[0].append(loop)
    space["all"] = {
        "when": dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "set": {1, 2}, "tuple": (1, (2,)), "keys": {Key("a"): 1},
        "deque": collections.deque([1], 3), "class": Thing.Inner, "function": things.a_function, "builtin": len,
        "enum": things.Mode.READ, "bytes": b"xx", "nan": float("nan"), "own": things.Eager(Thing(name="x")),
        "method": Thing(name="m").greet, "error": things.Unusual("a", limit=2), "deep": things.nested(list, 1000),
        "deep tuple": things.nested(tuple, 1000), "upper": str.upper, "table": collections.defaultdict(list, {1: [2]}),
        "shared": (shared, shared), "ordered": collections.OrderedDict(b=1, a=shared), "frozen": frozenset({Key("f")}),
        "big": 2**80, "surrogate": "\ud800", "module": json, "slotted": things.Slotted(1, shared), "bag": things.Bag(),
        "loop": loop, "join": "-".join, "held": (held := {7}), "weak": weakref.ref(held),
    }  # fmt: skip
    return space


@pytest.fixture
def file(tmp_path: Path) -> Path:
    world().save(tmp_path / "app.spl")
    return tmp_path / "app.spl"


def test_inspect_counts_roots_and_classes(file: Path) -> None:
    found = snapshot.inspect(file)
    assert [(name, cls) for name, cls, _ in found.roots] == [("book", "snapshot_things:Book"), ("all", "dict")]
    assert found.roots[0][2] == 5
    counts = dict(found.classes)
    assert counts["snapshot_things:Thing"] == 6
    assert found.size == file.stat().st_size
    assert found.raw > found.size
    assert found.manifest["generation"] == 1


def test_verify_says_whole_and_whose(file: Path, own_key: Path) -> None:
    good = snapshot.verify(file)
    assert (good.whole, good.signed, good.signed_by_me, good.generation) == (True, True, True, 1)
    assert good.objects > 100
    own_key.write_text("another key that is long enough")
    assert not snapshot.verify(file).signed_by_me
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    bad = snapshot.verify(file)
    assert (bad.whole, bad.problem) == (False, "app.spl is damaged at byte 16: the checksum of a chunk is wrong")


def test_cat_shows_one_object_by_path(file: Path) -> None:
    assert snapshot.cat(file, "book.pages[1]").splitlines()[:2] == [
        "book.pages[1]: snapshot_things:Thing",
        "  .number = 1",
    ]
    assert snapshot.cat(file, "space['book'].reads") == "0"
    lines = snapshot.cat(file, "space['all']").splitlines()
    assert "  ['when'] = <datetime:datetime 2026-01-02T03:04:00>" in lines
    assert "  ['function'] = <function snapshot_things:a_function>" in lines
    assert "  ['set'] = <set, 2 items>" in lines
    with pytest.raises(
        SnapshotError, match=r"nothing at book\.pages\[9\]\.x; the path exists up to space\['book'\]\.pages"
    ):
        snapshot.cat(file, "book.pages[9].x")


def test_diff_names_what_was_added_removed_and_changed(file: Path) -> None:
    space = snapshot.load(file)
    space["book"].reads, space["new"] = 5, {"a": 1}
    space["book"].pages.append(Thing(z=1))
    del space["all"]["own"]
    space.save()
    changes = {change.path: change for change in snapshot.diff(file.with_name("app.1.spl"), file)}
    assert changes["space['book']"].parts == [(".reads", "0", "5")]
    assert changes["space['new']"].kind == changes["space['book'].pages[3]"].kind == "added"
    assert changes["space['all']['own']"].kind == "removed"
    assert snapshot.diff(file, file) == []


def test_diff_looks_as_deep_as_the_graph_goes(tmp_path: Path) -> None:
    """A path of 50,000 steps for each of 50,000 lists would be gigabytes of text."""
    space = Space()
    space["deep"] = things.nested(list, 50_000)
    space.save(tmp_path / "app.spl")
    bottom = space["deep"]
    while bottom:
        bottom = bottom[0]
    bottom.append(1)
    space.save()
    (change,) = snapshot.diff(tmp_path / "app.1.spl", tmp_path / "app.2.spl")
    assert change.path.startswith("space['deep'][0][0]")
    assert change.parts == [("[0]", "", "1")]


def test_an_export_never_writes_over_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "app.jsonl").write_text("something of somebody's")
    with pytest.raises(FileExistsError, match=r"app\.jsonl is there already; nothing was written"):
        snapshot.export(file, tmp_path / "app.jsonl")
    assert (tmp_path / "app.jsonl").read_text() == "something of somebody's"


def test_an_export_that_the_disk_refuses_says_so(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"no/app\.jsonl: No such file or directory; nothing was written$"):
        snapshot.export(file, tmp_path / "no" / "app.jsonl")


def test_export_and_import_lead_back_to_the_same_space(file: Path, tmp_path: Path) -> None:
    lines = snapshot.export(file, tmp_path / "app.jsonl")
    text = (tmp_path / "app.jsonl").read_text()
    assert text.count("\n") == lines
    assert all(json.loads(line) for line in text.splitlines())
    called = snapshot.import_(tmp_path / "app.jsonl", tmp_path / "again.spl")
    assert "snapshot_things:Thing" in called
    assert snapshot.diff(file, tmp_path / "again.spl") == []
    back, before = snapshot.load(tmp_path / "again.spl", trust=True), snapshot.load(file)
    for name in (
        "when",
        "set",
        "tuple",
        "keys",
        "deque",
        "class",
        "function",
        "enum",
        "bytes",
        "table",
        "big",
        "surrogate",
        "upper",
    ):
        assert back["all"][name] == before["all"][name], name
    assert things.depth_of(back["all"]["deep"]) == things.depth_of(back["all"]["deep tuple"]) == 1000
    assert (
        back["all"]["shared"][0] is back["all"]["shared"][1] is back["all"]["ordered"]["a"] is back["all"]["slotted"].y
    )
    assert back["all"]["own"].seen == "x"
    assert back["all"]["loop"][0][0] is back["all"]["loop"]
    assert back["all"]["join"]("ab") == "a-b"
    assert back["all"]["weak"]() is back["all"]["held"]
    assert back["all"]["method"]() == "hello from m"
    assert (back.uuid, back["book"].pages[2].number) == (before.uuid, 2)


def test_what_was_imported_needs_to_be_trusted_until_it_is_saved_again(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.spl"
    snapshot.export(file, tmp_path / "app.jsonl")
    snapshot.import_(tmp_path / "app.jsonl", again)
    for load in (snapshot.load, snapshot.vouched):
        with pytest.raises(NotTrusted, match=r"again\.spl is not loaded: it was imported from text.*say --trust"):
            load(again)
    snapshot.load(again, trust=True).save(again)
    assert snapshot.load(again).generation == 2
    with pytest.raises(NotTrusted):
        snapshot.load(again, 1)


def test_text_that_is_no_export_is_refused_with_its_line(file: Path, tmp_path: Path) -> None:
    snapshot.export(file, tmp_path / "app.jsonl")
    lines = (tmp_path / "app.jsonl").read_text().splitlines()
    lines[3] = '{"id": 2}'
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    with pytest.raises(SnapshotError, match="line 4 is not as an export writes it"):
        snapshot.import_(tmp_path / "bad.jsonl", tmp_path / "again.spl")
    with pytest.raises(FileExistsError):
        snapshot.import_(tmp_path / "app.jsonl", file)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SnapshotError, match="line 1"):
        snapshot.import_(tmp_path / "empty.jsonl", tmp_path / "again.spl")


def hostile(path: Path, stream: bytes, **named: Any) -> Path:
    written: list[bytes] = []
    writer = Writer(written.append)
    writer.write(pickle.dumps([], 2) + stream)
    writer.finish(
        {"objects": 0, "classes": {}, "functions": [], "modules": [], "time": 0.0, "generation": 1, **named}, None
    )
    path.write_bytes(b"".join(written))
    return path


def test_a_hostile_file_can_be_looked_at_and_runs_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    command = f"touch {trap}".encode()
    stream = b"(lcos\nsystem\n(S'" + command + b"'\ntRa.0" + b"."
    stream = b"cos\nsystem\n(S'" + command + b"'\ntR\x85." + b")."
    path = hostile(tmp_path / "bad.spl", stream, functions=["os:system"])
    assert "os:system" in str(snapshot.inspect(path).classes)
    assert command.decode() in snapshot.cat(path, "obj.<argument 0>")
    snapshot.verify(path)
    snapshot.export(path, tmp_path / "bad.jsonl")
    assert not trap.exists()


@pytest.mark.parametrize("stream", [
    b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R\x85.).",
    b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b"\x85.).",
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\x00\x00.",
    b"(lp0\n" + b"(g0\ng0\ng0\nt" * 10 + b".",
])  # fmt: skip
def test_bombs_end_in_an_error_or_an_answer_and_never_harm_the_caller(stream: bytes, tmp_path: Path) -> None:
    path = hostile(
        tmp_path / "bomb.spl", stream, raw=len(stream), classes={"builtins:bytearray": {"count": 1, "mro": []}}
    )
    said = ""
    try:
        snapshot.inspect(path)
    except SnapshotError as error:
        said = str(error)
    assert not said or "bomb.spl" in said


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.spl"):
        snapshot.inspect(tmp_path / "none.spl")


# --- backup


def test_a_backup_is_restored_under_another_home(file: Path, tmp_path: Path, own_key: Path) -> None:
    (tmp_path / "app.users").write_text('{"ann": "scrypt$..."}')
    (tmp_path / "app.1.journal").write_bytes(b"journal")
    space = snapshot.load(file)
    snapshot.save(space, file, sources={"game.world": "x = 1\n"})
    done = snapshot.backup(file, tmp_path / "carry.tar.gz")
    assert done.files == ["app.spl", "app.1.journal", "app.users", "sources/game.world.py"]
    own_key.unlink()
    restored = snapshot.restore(tmp_path / "carry.tar.gz", tmp_path / "home" / "game")
    assert restored == tmp_path / "home" / "game" / "app.spl"
    assert snapshot.load(restored).uuid == space.uuid
    names = sorted(str(path.relative_to(restored.parent)) for path in restored.parent.rglob("*") if path.is_file())
    assert names == ["app.1.journal", "app.sources/game/world.py", "app.spl", "app.users"]
    with pytest.raises(FileExistsError):
        snapshot.restore(tmp_path / "carry.tar.gz", tmp_path / "home" / "game")


def test_a_backup_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    import io
    import tarfile

    data = snapshot.dumps(1)
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        for name, content in (("app.spl", data), ("sources/../../../evil.py", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(SnapshotError, match="nothing was restored"):
        snapshot.restore(tmp_path / "bad.tar.gz", tmp_path / "home")
    assert not (tmp_path / "home").exists()
    (tmp_path / "no.tar.gz").write_bytes(b"no")
    with pytest.raises(SnapshotError, match=r"^no\.tar\.gz is no backup of midair; nothing was restored$"):
        snapshot.restore(tmp_path / "no.tar.gz", tmp_path / "home")
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.tar\.gz; nothing was restored"):
        snapshot.restore(tmp_path / "none.tar.gz", tmp_path / "home")


def test_a_backup_that_was_cut_off_is_not_restored(file: Path, tmp_path: Path) -> None:
    snapshot.backup(file, tmp_path / "carry.tar.gz")
    whole = (tmp_path / "carry.tar.gz").read_bytes()
    for end in (5, 40, len(whole) // 2):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:end])
        with pytest.raises(SnapshotError, match=r"cut\.tar\.gz is no backup of midair.*; nothing was restored"):
            snapshot.restore(tmp_path / "cut.tar.gz", tmp_path / "home")
    assert not (tmp_path / "home").exists()
