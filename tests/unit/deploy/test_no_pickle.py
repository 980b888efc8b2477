"""No byte from a file or a socket is ever executed: a scan of every source file that is installed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SOURCES = sorted(
    path for folder in ("worker", "protocol", "sim", "deploy") for path in (REPOSITORY / folder).rglob("*.py")
)
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "recv_pyobj",
    "send_pyobj",
    "recv_serialized",
    "read_pickle",
    "to_pickle",
    "tofile",
    "fromfile",
}
"""pyzmq and pandas unpickle; numpy's raw files have no dtype that could be checked."""

REQUIRED = {"torch.load": ("weights_only", True)}
REQUIRED |= {f"np.{name}": ("allow_pickle", False) for name in ("load", "save", "savez", "savez_compressed")}
FORBIDDEN = {
    "torch.jit.load",
    "torch.hub.load",
    "torch.package",
    "torch.compiler.load_cache_artifacts",
}
YAML = {"yaml.safe_load"}
"""All that may be called of yaml: its other loaders make objects of what a file names."""


def dotted(node: ast.expr) -> str:
    """`torch.jit.load` from its attribute chain; "" for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def objections(text: str) -> Iterator[str]:
    """Yield the names in a source that could execute data which they read."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] in MODULES:
                yield module
            yield from (
                f"{module}.{a.name}"
                for a in node.names
                if (module, a.name) in NAMES_TO_SPELL_OUT or module.split(".")[0] == "yaml"
            )
        elif isinstance(node, ast.Call):
            yield from objections_to_call(node)


NAMES_TO_SPELL_OUT = {("torch", "load"), ("numpy", "load"), ("numpy", "save")}
"""Imported by name they would escape the scan of calls."""


def objections_to_call(call: ast.Call) -> Iterator[str]:
    """A call that unpickles, evaluates, or does not say that it will not."""
    name = dotted(call.func)
    if (
        name in BUILTINS
        or name in FORBIDDEN
        or (name.startswith("yaml.") and name not in YAML)
        or (isinstance(call.func, ast.Attribute) and call.func.attr in METHODS)
    ):
        yield name or ast.unparse(call.func)
    if name in REQUIRED:
        key, wanted = REQUIRED[name]
        given = {word.arg: word.value for word in call.keywords}.get(key)
        if not (isinstance(given, ast.Constant) and given.value is wanted):
            yield f"{name} without {key}={wanted}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_source_runs_nothing_that_it_reads(path: Path) -> None:
    """Neither pickle nor eval; torch and numpy files are opened as data only, in so many words."""
    assert list(objections(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch.utils, dill",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "from numpy import load",
        "socket.recv_pyobj()",
        "eval(text)",
        "torch.jit.load(path)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "from yaml import safe_load",
    ],
)
def test_scan_objects(line: str) -> None:
    """The scan finds what it is there for."""
    assert list(objections(line))


def test_scan_sees_the_sources() -> None:
    """All three packages are scanned, and data loads that say so are fine."""
    folders = {path.relative_to(REPOSITORY).parts[0] for path in SOURCES}
    assert folders == {"worker", "protocol", "sim", "deploy"}
    assert len(SOURCES) > 100
    assert not list(
        objections(
            "torch.load(p, weights_only=True)\nnp.load(p, allow_pickle=False)\nmodel.eval()\nyaml.safe_load(p)"
        )
    )
