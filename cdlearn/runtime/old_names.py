"""Modules that moved go on answering to the name they had: ``cdlearn.heads`` is ``cdlearn.probes``, and so on."""

import importlib
import importlib.abc
import importlib.util
import sys

MOVED = {
    "cdlearn.heads": "cdlearn.probes",
    "cdlearn.shapes": "cdlearn.data.shapes",
    "cdlearn.checks": "cdlearn.course.checks",
}


class OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name and gives the very module of the new one."""

    def find_spec(self, name: str, path=None, target=None):
        if self.new(name):
            return importlib.util.spec_from_loader(name, self)
        return None

    def new(self, name: str) -> str:
        """The new name of a moved module or of a module within one; "" for any other."""
        for old, new in MOVED.items():
            if name == old or name.startswith(old + "."):
                return new + name.removeprefix(old)
        return ""

    def create_module(self, spec):
        module = importlib.import_module(self.new(spec.name))
        self.spec = module.__spec__  # the import system is about to write the old name's spec over it
        return module

    def exec_module(self, module) -> None:
        module.__spec__ = self.spec


sys.meta_path.insert(0, OldNames())  # before the finder by path, which would load a moved package's files twice
