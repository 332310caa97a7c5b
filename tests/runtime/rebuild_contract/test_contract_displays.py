"""Dict, list and set displays: what the source lists follows the source, what the program put there stays."""

import pytest

MERGED = {
    "an element that is an expression": ("N = 1\nL = [N, 2]\n", "N = 5\nL = [N, 3]\n", "L.append(9)", "L", [5, 3, 9]),
    "an element that calls": (
        "def f(): return 1\nL = [f() + 1, 2]\n",
        "def f(): return 1\nL = [f() + 1, 3]\n",
        "L.append(9)",
        "L",
        [2, 3, 9],
    ),
    "an element that calls, another taken out": (
        "def f(): return 1\nL = [f() + 1, 2, 5]\n",
        "def f(): return 1\nL = [f() + 1, 3, 5]\n",
        "L.remove(5); L.append(9)",
        "L",
        [2, 3, 9],
    ),
    "an element that is an attribute": (
        "class C: a = 1\nL = [C.a, 2]\n",
        "class C: a = 4\nL = [C.a, 3]\n",
        "L.append(9)",
        "L",
        [4, 3, 9],
    ),
    "an element that binds a name": ("L = [n := 1, n + 1]\n", "L = [n := 10, n + 1]\n", "L.append(9)", "L", [10, 11, 9]),
    "an element that is a list": ("L = [[1], 2]\n", "L = [[1], 3]\n", "L[0].append(9)", "L", [[1, 9], 3]),
    "a key that is a name": ("K = 'a'\nD = {K: 1}\n", "K = 'b'\nD = {K: 1, 'c': 2}\n", "D['z'] = 9", "D", {"b": 1, "c": 2, "z": 9}),
    "a key that becomes a name": ("K = 'a'\nD = {K: 1}\n", "K = 'a'\nD = {'a': 2}\n", "D['z'] = 9", "D", {"a": 2, "z": 9}),
    "keys that change places": (
        "A, B = 'a', 'b'\nD = {A: 1, B: 2, 'c': 3}\n",
        "A, B = 'b', 'a'\nD = {A: 1, B: 2, 'c': 4}\n",
        "",
        "D",
        {"b": 1, "a": 2, "c": 4},
    ),
    "a value that is a name": ("V = 1\nD = {'k': V}\n", "V = 2\nD = {'k': V, 'c': 2}\n", "D['z'] = 9", "D", {"k": 2, "c": 2, "z": 9}),
    "a value that the program set": ("V = 1\nD = {'k': V}\n", "V = 2\nD = {'k': V, 'c': 2}\n", "D['k'] = 9", "D", {"k": 9, "c": 2}),
    "a display in a display": (
        "N = 1\nD = {'x': [N, N + 1]}\n",
        "N = 2\nD = {'x': [N, N + 1, 7]}\n",
        "D['x'].append(9)",
        "D",
        {"x": [2, 3, 7, 9]},
    ),
    "a set": ("N = 1\nS = {N, 2}\n", "N = 5\nS = {N, 3}\n", "S.add(9)", "S", {5, 3, 9}),
    "a class attribute": (
        "class C:\n    n = 1\n    L = [n, 2]\n",
        "class C:\n    n = 5\n    L = [n, 3]\n",
        "C.L.append(9)",
        "C.L",
        [5, 3, 9],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MERGED)
def test_what_a_display_lists_follows_and_what_the_program_put_there_stays(live, case):
    before, after, run, name, expected = MERGED[case]
    live.start(before)
    import m

    held = eval(name, vars(m))
    exec(run, vars(m))
    live.become(after)
    assert eval(name, vars(m)) is held
    assert held == expected


def test_a_value_of_another_module_in_a_display(live):
    live.start(m="N = 1\nK = 'a'\n", u="import m\nL = [m.N, 2]\nD = {m.K: 1}\n")
    import u

    u.L.append(9)
    live.become(m="N = 5\nK = 'b'\n", u="import m\nL = [m.N, 3]\nD = {m.K: 1, 'c': 2}\n")
    assert u.L == [5, 3, 9]
    assert u.D == {"b": 1, "c": 2}
