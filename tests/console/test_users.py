"""Who may log in: kept as verifiers only, and slow to guess."""

import asyncio
import json
import stat
from pathlib import Path

import pytest
from consoles import PASSWORD, some_users

from midair.console.users import Doorkeeper, Role, User, UserError, Users, make_verifier, new_password, verify


def test_a_verifier_does_not_hold_the_password_and_knows_it_again() -> None:
    one, other = make_verifier("swordfish"), make_verifier("swordfish")
    assert one != other, "salted"
    assert one.startswith("scrypt$32768$8$1$")
    assert "swordfish" not in one
    assert verify("swordfish", one)
    assert not verify("Swordfish", one)


def test_users_are_kept_in_a_private_file_without_their_passwords(tmp_path: Path) -> None:
    users = some_users(tmp_path / "demo.users")
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    assert PASSWORD not in users.path.read_text()
    assert [(u.name, u.role) for u in Users(users.path).all()] == [
        ("anna", Role.ADMIN),
        ("otto", Role.OPERATOR),
        ("vera", Role.VIEWER),
    ]
    assert "scrypt" not in repr(users.get("anna"))


def test_a_change_by_another_process_holds_at_once(tmp_path: Path) -> None:
    ours = some_users(tmp_path / "demo.users")
    theirs = Users(ours.path)
    theirs.remove("vera")
    theirs.set_role("otto", Role.VIEWER)
    assert [(u.name, str(u.role)) for u in ours.all()] == [("anna", "admin"), ("otto", "viewer")]


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("anna", PASSWORD, "user anna exists"),
        ("", PASSWORD, "no user name"),
        ("a b", PASSWORD, "no user name"),
        ("../x", PASSWORD, "no user name"),
        ("new", "", "shorter than 8 characters; nothing was changed"),
        ("new", "seven77", "shorter than 8 characters; nothing was changed"),
        ("new", "x" * 1025, "longer than 1024 characters; nothing was changed"),
    ],
)
def test_what_cannot_be_a_user_is_refused_and_changes_nothing(
    tmp_path: Path, name: str, password: str, why: str
) -> None:
    users = some_users(tmp_path / "demo.users")
    before = users.path.read_bytes()
    with pytest.raises(UserError, match=why):
        users.add(name, password)
    if name == "new":
        with pytest.raises(UserError, match=why):
            users.set_password("anna", password)
    assert users.path.read_bytes() == before


def test_a_file_that_others_can_write_lets_nobody_in(tmp_path: Path) -> None:
    users = some_users(tmp_path / "demo.users")
    users.path.chmod(0o666)
    with pytest.raises(UserError, match="can be written by others"):
        users.check("anna", PASSWORD)


@pytest.mark.parametrize("text", ["", "{}x", "[{}]", '[{"name": "a", "role": "king", "verifier": ""}]'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "demo.users"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UserError):
        Users(path).check("anna", PASSWORD)


def test_generated_passwords_are_long_and_differ() -> None:
    assert len({new_password() for _ in range(100)}) == 100
    assert len(new_password()) >= 16


class Cheap(Users):
    """Checks without hashing, and remembers who was asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []

    def check(self, name: str, password: str) -> User | None:
        self.asked.append(name)
        return self.get(name) if password == "right" else None


async def test_each_failure_makes_the_next_try_wait_longer_and_the_third_shuts_the_door(tmp_path: Path) -> None:
    some_users(tmp_path / "demo.users")
    now = [100.0]
    users = Cheap(tmp_path / "demo.users")
    door = Doorkeeper(users, now=lambda: now[0])
    waits, shut = [], []
    for _ in range(4):
        assert await door.login("anna", "wrong", "10.0.0.1") is None
        waits.append(door.wait("address 10.0.0.1"))
        shut.append(door.shut("address 10.0.0.1", "name anna"))
        now[0] += waits[-1]
    assert waits == [1, 2, 30, 30]
    assert shut == [False, False, True, True]
    assert await door.login("anna", "right", "10.0.0.1") is not None
    assert door.wait("address 10.0.0.1", "name anna") == 0
    assert not door.shut("address 10.0.0.1", "name anna")
    door.close()


async def test_who_has_to_wait_is_not_even_checked_by_address_nor_by_name(tmp_path: Path) -> None:
    some_users(tmp_path / "demo.users")
    users = Cheap(tmp_path / "demo.users")
    door = Doorkeeper(users, now=lambda: 100.0)
    await door.login("anna", "wrong", "10.0.0.1")
    assert await door.login("otto", "right", "10.0.0.1") is None, "the same address with another name"
    assert await door.login("anna", "right", "10.0.0.2") is None, "the same name from another address"
    assert await door.login("otto", "right", "10.0.0.2") is not None, "nobody else is shut out"
    assert users.asked == ["anna", "otto"]
    door.forgive()
    assert await door.login("anna", "right", "10.0.0.1") is not None
    door.close()


async def test_the_loop_goes_on_while_a_password_is_checked(tmp_path: Path) -> None:
    door = Doorkeeper(some_users(tmp_path / "demo.users"))
    ticks = 0
    login = asyncio.ensure_future(door.login("nobody", PASSWORD, "10.0.0.1"))
    while not login.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert login.result() is None
    assert ticks > 3
    door.close()


async def test_addresses_that_failed_are_remembered_within_bounds(tmp_path: Path) -> None:
    door = Doorkeeper(Cheap(tmp_path / "none"), now=lambda: 0.0)
    door.REMEMBERED = 50
    for number in range(200):
        await door.login(f"user{number}", "wrong", f"10.0.0.{number}")
    assert len(door._failed) <= 50
    door.close()


def test_the_file_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    users = some_users(tmp_path / "demo.users")
    assert [entry["role"] for entry in json.loads(users.path.read_text())] == ["admin", "operator", "viewer"]
