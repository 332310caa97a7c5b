"""Weak references, finalizers and the life of old code."""

import gc
import weakref


def test_weak_references_to_functions_classes_and_instances_stay(live):
    live.start("def f():\n    return 'v1'\nclass C:\n    def g(self):\n        return 'v1'\n")
    import m

    c = m.C()
    refs = [weakref.ref(m.f), weakref.ref(m.C), weakref.ref(c)]
    method, final = weakref.WeakMethod(c.g), weakref.finalize(c, lambda: None)
    live.edit("v1", "v2")
    gc.collect()
    assert [r() for r in refs] == [m.f, m.C, c]
    assert m.f() == method()() == "v2"
    assert final.alive
    final.detach()


def test_weak_dictionaries_and_sets_keep_their_members(live):
    live.start("def f():\n    return 'v1'\nclass C:\n    def g(self):\n        return 'v1'\n")
    import m

    c = m.C()
    keys, values, group = (
        weakref.WeakKeyDictionary({c: 1, m.f: 2, m.C: 3}),
        weakref.WeakValueDictionary(c=c),
        weakref.WeakSet([c, m.f]),
    )
    live.edit("v1", "v2")
    gc.collect()
    assert (keys[c], keys[m.f], keys[m.C]) == (1, 2, 3)
    assert values["c"] is c
    assert m.f in group
    assert len(group) == 2


def test_an_instance_still_dies_when_its_last_reference_goes(live):
    live.start("class C:\n    def g(self):\n        return 'v1'\n")
    import m

    c = m.C()
    ref = weakref.ref(c)
    live.edit("v1", "v2")
    del c
    gc.collect()
    assert ref() is None


def test_instances_die_after_upgrade_and_layout_change(live):
    live.start("class C:\n    __slots__ = ('a', '__weakref__')\n    def __init__(self):\n        self.a = 1\n")
    import m

    held = [m.C()]
    live.become(
        "class C:\n    __slots__ = ('a', 'b', '__weakref__')\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.b = 2\n"
    )
    ref = weakref.ref(held[0])
    assert held[0].b == 2
    held.clear()
    gc.collect()
    assert ref() is None


def test_removed_values_are_let_go(live):
    live.start("class Big:\n    pass\nthing = Big()\nX = 1\n")
    import m

    ref = weakref.ref(m.thing)
    live.edit("thing = Big()\n", "")
    for i in range(150):
        live.become(f"class Big:\n    pass\nX = {i + 2}\n")
    gc.collect()
    assert ref() is None


def test_a_class_with_del_runs_it_once_with_new_code(live):
    live.start("log = []\nclass C:\n    def __del__(self):\n        log.append('v1')\n")
    import m

    c = m.C()
    live.edit("v1", "v2")
    assert m.log == []
    del c
    gc.collect()
    assert m.log == ["v2"]


def test_a_moved_instance_is_finalized_once(live):
    live.start(
        "log = []\nclass C:\n    __slots__ = ('n',)\n    def __init__(self):\n        self.n = 1\n    def __del__(self):\n        log.append(self.n)\n"
    )
    import m

    held = [m.C()]
    live.edit("('n',)", "('n', 'k')")
    gc.collect()
    assert m.log == []
    held.clear()
    gc.collect()
    assert m.log == [1]


def test_finalizer_callback_runs_new_code(live):
    live.start("log = []\nclass C:\n    pass\ndef bye(x):\n    log.append(('v1', x))\n")
    import m

    c = m.C()
    weakref.finalize(c, m.bye, 1)
    live.edit("v1", "v2")
    del c
    gc.collect()
    assert m.log == [("v2", 1)]
