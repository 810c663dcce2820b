"""No circle of imports, counting those that import-linter cannot see: by a name in a string."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from itertools import groupby

from tests.fakes.sources import modules


def imported(node, known):
    """Yield the modules that one node of a syntax tree imports, or names as `module:attribute`."""
    match node:
        case ast.Import(names=names):
            yield from (each.name for each in names)
        case ast.ImportFrom(module=str(module), names=names):
            for each in names:
                inside = f"{module}.{each.name}"
                yield inside if inside in known else module
        case ast.Constant(value=str(text)) if ":" in text:
            yield text.partition(":")[0]
        case ast.Call(
            func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(text))],
        ):
            yield text


def arrows():
    """Yield every import between two of our modules."""
    found = {path.with_suffix("").as_posix().replace("/", "."): nodes for path, nodes in modules()}
    known = {name.removesuffix(".__init__"): nodes for name, nodes in found.items()}
    for name, nodes in known.items():
        for node in nodes:
            yield from ((name, other) for other in imported(node, known) if other in known)


def siblings(arrow):
    """Return the package in which both ends of an import lie, and their parts of it."""
    name, other = (each.split(".") for each in arrow)
    level = next((at for at, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), None)
    return None if level is None else (".".join(name[:level]), name[level], other[level])


def test_no_package_has_a_circle_not_even_through_imports_by_a_string():
    found = sorted({pair for arrow in arrows() if (pair := siblings(arrow))})
    assert len(found) > 500
    for _package, pairs in groupby(found, key=lambda pair: pair[0]):
        graph = TopologicalSorter()
        for _, part, other in pairs:
            graph.add(part, other)
        graph.prepare()  # raises `CycleError` with the modules of the circle


def test_imports_by_a_string_are_counted():
    assert {
        ("inference.engines.built_in", "inference.engines.opensora_adapter.models"),
        ("inference.opensora.networks.switch", "inference.opensora.networks.kernels"),
    } <= set(arrows())
