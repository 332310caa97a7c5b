"""The console for programs: lines of JSON."""

from pathlib import Path

from consoles import At, converse


def test_a_request_gives_its_result_its_output_and_its_time(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        json.send(id="a", code="print('working')\n6 * 7")
        assert json.next() == {"id": "a", "out": "working\n"}
        reply = json.next()
        assert (reply["id"], reply["result"]) == ("a", "42")
        assert reply["ms"] >= 0
        assert json.ask(id="b", code="x = 1")["result"] is None
        assert json.ask(id="c", code="1/0")["error"].endswith("ZeroDivisionError: division by zero\n")

    converse(tmp_path, scenario)


def test_commands_give_plain_data(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.server.space["a"] = [1, 2]
        json = at.json()
        (row,) = json.ask(id=1, command="who")["data"]
        assert (row["by"], row["running"]) == ("unix", "who")
        assert json.ask(id=2, code="who()")["data"][0]["role"] == "admin"
        assert json.ask(id=3, command="status")["data"]["stragglers"] == 0
        tree = json.ask(id=4, command="space")["data"]
        assert [entry["name"] for entry in tree] == ["space", "['a']", "[0]", "[1]"]
        assert json.ask(id=5, command="rebuild 'game.world'")["data"].endswith(": game.world")
        assert "there is no command" in json.ask(id=6, command="1 + 1")["error"]

    converse(tmp_path, scenario)


def test_the_commands_describe_themselves(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        described = {command["name"]: command for command in at.json().ask(id=1, describe=True)["commands"]}
        assert described["who"]["looks"] is True
        assert described["rebuild"]["role"] == "operator"
        assert described["undo"]["parameters"] == ["number: int | None = None", "write: bool = False"]
        for command in described.values():
            assert command["summary"].endswith((".", ":")), command
            assert "\n" not in command["summary"]

    converse(tmp_path, scenario)


def test_requests_are_answered_in_order_and_interrupted_by_id(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        json.send(id=1, code="import asyncio\nprint('on')\nawait asyncio.Event().wait()")
        json.send(id=2, code="'two'")
        assert json.next()["out"] == "on\n"
        json.send(interrupt=2)
        assert json.next() == {"id": 2, "error": "nothing with this id is running"}
        json.send(interrupt=1)
        assert json.next()["kind"] == "interrupted"
        assert json.next()["result"] == "'two'"

    converse(tmp_path, scenario)


def test_what_is_no_request_is_answered_with_what_is(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        for line, said in (
            (b"{", "not a request"),
            (b"[]", "not a request"),
            (b"{}", "a request has code"),
            (b'{"code": 1}', "a request has code"),
            (b"[" * 60000, "not a request"),
        ):
            json.sock.sendall(line + b"\n")
            assert said in json.next()["error"]

    converse(tmp_path, scenario)
