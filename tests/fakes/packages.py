"""Small distributions, made as pip leaves them: a module or package, and its metadata."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent


def make(
    folder: Path,
    name: str,
    text: str,
    *,
    version: str = "1.0",
    files: dict[str, str] | None = None,
    **groups: dict[str, str],
) -> None:
    """Install a distribution into a folder.

    Args:
        folder: That is, or will be, on the import path.
        name: Of the distribution and of its import package.
        text: Of the package's own module.
        version: Of the distribution.
        files: Other files of the package by path, such as catalogs.
        groups: The entry points by group without `rushes.`: name -> attribute.
    """
    package = folder / name
    for path, content in {"__init__.py": text, **(files or {})}.items():
        file = package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(content), encoding="utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in groups.items():
        lines.append(f"[rushes.{group}]")
        lines += [f"{entry} = {name}:{value}" for entry, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


CATALOG = """
    msgid ""
    msgstr ""
    "Content-Type: text/plain; charset=utf-8\\n"
    "Plural-Forms: nplurals=2; plural=(n != 1);\\n"

"""


def catalog(**texts: str) -> str:
    """Return a catalog; `__` in a key stands for a dot."""
    return dedent(CATALOG) + "\n".join(
        f'msgid "{key.replace("__", ".")}"\nmsgstr "{text}"\n' for key, text in texts.items()
    )
