"""Adapter of the neutral battery: record the folder before the import, rebuild whatever differs after the edit.

It goes beside the others in the battery's `adapters/`, under this name: an adapter called `midair` would hide the
package that it is to import.
"""

from _base import Adapter as Base


class Adapter(Base):
    hooks = {
        "instance": {"text": "__schema__ = 1\n\ndef __upgrade__(self, schema, old):\n{body}"},
        "module": {"text": "def __rebuilt__(old):\n{body}"},
        "unpickle": {"text": "__schema__ = {version}\n\ndef __upgrade__(self, schema, state):\n{body}"},
    }

    def preload(self):
        from midair.runtime import rebuild  # noqa: F401 -- before the cases fork

    def start(self, root):
        from midair.runtime import rebuild

        rebuild.record(root)

    def apply(self, changed):
        from midair.runtime import rebuild

        rebuild.rebuild()

    def loads(self, data):
        from midair.runtime import snapshot

        return snapshot.loads(data)
