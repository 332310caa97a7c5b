"""Each way to hold what an edit changes, and the outcome stated for it."""

import functools

import pytest

from midair.runtime import rebuild

ONE = """
import contextlib
import functools

STATE = {"n": 0}

def f():
    return "old"

class Base:
    def m(self):
        return "old"
    @property
    def p(self):
        return "old"
    @staticmethod
    def s():
        return "old"
    @classmethod
    def c(cls):
        return "old"
    class Nested:
        def m(self):
            return "old"

class Slotted:
    __slots__ = ()
    def m(self):
        return "old"

class Sub(Base):
    pass

class E(Exception):
    pass

def make():
    def inner():
        return "old"
    return inner

def steps():
    yield "old"
    yield "old"

def wraps(fn):
    @functools.wraps(fn)
    def inner():
        return fn()
    return inner

def bare(fn):
    def inner():
        return fn()
    return inner

@wraps
def wrapped():
    return "old"

@bare
def unwrapped():
    return "old"

def gone():
    return "old"
"""
OTHER = "from m import f, Base\nimport m\nclass Elsewhere(Base):\n    pass\nclass Holder:\n    attribute = f\n    held = [f]\ndef default(g=f):\n    return g()\n"


def closed_over(function):
    return lambda: function()


@pytest.fixture
def held(project):
    project.write(m=ONE, other=OTHER)
    m, other = project.load(), project.load("other")
    made = type("Made", (m.Base,), {})
    things = {
        "a method on a live instance": m.Base().m,
        "a subclass in the same module": m.Sub().m,
        "an instance of a subclass in another module": other.Elsewhere().m,
        "a function imported by name elsewhere": lambda: other.f(),
        "a class imported by name elsewhere": lambda: other.Base().m(),
        "a function in a list": other.Holder.held[0],
        "a function in a dict": {"f": m.f}["f"],
        "a function as a class attribute": other.Holder.__dict__["attribute"],
        "a function as a default argument": other.default,
        "a partial": functools.partial(m.f),
        "a function in a closure": closed_over(m.f),
        "a bound method stored earlier": m.Base().m,
        "a live closure": m.make(),
        "a function decorated with wraps": m.wrapped,
        "a function decorated without wraps": m.unwrapped,
        "an instance with slots": m.Slotted().m,
        "a property": functools.partial(getattr, m.Base(), "p"),
        "a static method": m.Base().s,
        "a class method": m.Base.c,
        "an instance of a nested class": m.Base.Nested().m,
        "a subclass made with type() at run time": made().m,
    }
    running = m.steps()
    next(running)
    m.STATE["n"] = 5
    error, goner = m.E("made before"), m.gone
    project.write(m=ONE.replace('"old"', '"new"').replace('\ndef gone():\n    return "new"\n', ""))
    rebuild.rebuild()
    return m, things, running, error, goner


def test_whoever_holds_it_runs_the_new_code(held):
    _, things, *_ = held
    assert {name: thing() for name, thing in things.items()} == dict.fromkeys(things, "new")


def test_a_generator_under_way_finishes_in_old_code(held):
    m, _, running, *_ = held
    assert (list(running), list(m.steps())) == (["old"], ["new", "new"])


def test_an_exception_made_before_is_caught_by_its_name(held):
    m, _, _, error, _ = held
    with pytest.raises(m.E):
        raise error


def test_state_stays_and_removed_names_go(held):
    m, _, _, _, goner = held
    assert m.STATE == {"n": 5}
    assert not hasattr(m, "gone")
    assert goner() == "old"


@pytest.mark.parametrize("tail", ["def broken(:\n", "raise ImportError('half way')\n", "import no_such_module\n"])
def test_a_failure_half_way_leaves_the_old_code_running_everywhere(project, tail):
    project.write(m=ONE, other=OTHER)
    m, other = project.load(), project.load("other")
    with pytest.raises(rebuild.RebuildError):
        project.edit(m=ONE.replace('"old"', '"new"') + tail)
    assert {m.f(), other.default(), m.Base().m(), m.wrapped(), m.gone()} == {"old"}


def test_pydantic_models_change_as_far_as_their_machinery_allows(project):
    pytest.importorskip("pydantic")
    project.write(
        m="from pydantic import BaseModel\nclass User(BaseModel):\n    name: str\n    def hi(self): return 'old'\n"
    )
    m = project.load()
    user = m.User(name="ann")
    project.replace("m", ("'old'", "'new'"))
    assert user.hi() == "new"
    project.replace("m", ("    name: str\n", "    name: str\n    age: int = 3\n"))
    assert m.User(name="bob").age == 3
    assert m.User.model_validate({"name": "x", "age": 4}).age == 4
    assert isinstance(user, m.User)
    assert (user.name, user.age) == ("ann", 3)


def test_declarative_classes_take_methods_and_refuse_what_their_mapper_refuses(project):
    pytest.importorskip("sqlalchemy")
    project.write(
        m="""
        from sqlalchemy import Column, Integer
        from sqlalchemy.orm import declarative_base
        Base = declarative_base()
        class User(Base):
            __tablename__ = "users"
            id = Column(Integer, primary_key=True)
            def hi(self): return "old"
        """
    )
    m = project.load()
    user = m.User(id=1)
    project.replace("m", ('"old"', '"new"'))
    assert user.hi() == "new"
    with pytest.raises(rebuild.RebuildError, match="already"):
        project.replace("m", ("    def hi", "    age = Column(Integer)\n    def hi"))
    assert (user.id, user.hi()) == (1, "new")
