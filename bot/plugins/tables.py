"""Tables of plugins: their migrations, and trials of them on an empty and on a copied database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from inference.domain.errors import StoreError
from inference.plugins.descriptor import Plugin
from inference.plugins.package import Package
from inference.plugins.problem import PluginError
from inference.plugins.registry import Plugins
from inference.store.maintenance import DATABASE_NAME, open_read_only
from inference.store.sqlite.database import Database
from inference.store.sqlite.migrate import PackageMigrations, TimeLimit, migrations, statements

SECONDS = 600.0
"""That the pending migrations of a plugin may take."""

EMPTY_SECONDS = 10.0
"""The same on an empty database, where they are tried at every start."""

EMPTY_PAGES = 25_000
"""Of that database: 100 MB."""

PREFIX = "plugin_"
"""Begins the names of tables of plugins; the name of the plugin and `_` follow."""

_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_REINDEX,
    }
)
_TWO_NAMES = frozenset(
    {
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)


def tables(plugins: Plugins) -> list[tuple[Package, PackageMigrations]]:
    """Return the plugins that have tables, with their migrations."""
    return [
        (package, migrations)
        for package in plugins.packages
        if (descriptor := plugins.descriptors.get(package.name))
        and (migrations := tables_of(package, descriptor))
    ]


def tables_of(package: Package, descriptor: Plugin) -> PackageMigrations | None:
    """Return the migrations of a package under a name that no other package has."""
    if descriptor.tables is None:
        return None
    return replace(descriptor.tables, name=f"{PREFIX}{package.section}")


def check_tables(package: Package, descriptor: Plugin) -> None:
    """Try the migrations of a package on an empty database.

    Raises:
        PluginError: They touch a table whose name does not begin with `plugin_NAME_`.
        sqlite3.Error: They cannot be applied.
    """
    found = tables_of(package, descriptor)
    if found is None:
        return
    prefix = f"{found.name}_"
    foreign: list[str] = []

    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _READS or str(first).startswith("sqlite_"):
            return sqlite3.SQLITE_OK
        names = [name for name in (first, second) if name]
        if action == sqlite3.SQLITE_ALTER_TABLE:
            names = names[1:]  # the database comes first
        own = [name.startswith((prefix, "sqlite_")) for name in names]
        # An index or a trigger has a name beside its table's.
        if names and (all(own) if action in _TWO_NAMES else own[0]):
            return sqlite3.SQLITE_OK
        foreign.append(" ".join(names) or f"action {action}")
        return sqlite3.SQLITE_DENY

    steps = found.steps()
    if not steps:
        raise PluginError(f"{found.package} has no migrations")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA max_page_count = {EMPTY_PAGES}")
        connection.set_authorizer(allow)
        try:
            with _limit_time(connection, EMPTY_SECONDS, " on an empty database"):
                for _, sql in steps:
                    connection.executescript(sql)
        except sqlite3.DatabaseError:
            if foreign:
                raise PluginError(
                    f"its migrations touch {foreign[0]}, which does not begin with {prefix}"
                ) from None
            raise


@contextmanager
def _limit_time(connection: sqlite3.Connection, seconds: float, where: str) -> Iterator[None]:
    """Interrupt what a connection does once it takes too long.

    Raises:
        PluginError: It did.
    """
    limit = TimeLimit(seconds)
    connection.set_progress_handler(limit.is_over, TimeLimit.STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if limit.is_over():
            raise PluginError(
                f"its migrations were not done within {seconds:g} s{where}"
            ) from error
        raise
    finally:
        connection.set_progress_handler(None, 0)


async def migrate(plugins: Plugins, database: Database) -> None:
    """Bring the tables of plugins up to date; one whose tables cannot be is left out."""
    for package, its_tables in tables(plugins):
        try:
            await database.migrate(its_tables, SECONDS)
        except TimeoutError:
            late = f"its migrations were not done within {SECONDS:g} s"
            plugins.reject_package(package, PluginError(late))
        except StoreError as error:
            later = error.code == "store.too_new"
            reason = _too_new(error.params["version"]) if later else error
            plugins.reject_package(package, reason)
        except Exception as error:  # noqa: BLE001 - a plugin's SQL
            plugins.reject_package(package, error)


def _too_new(version: object) -> PluginError:
    return PluginError(f"a later release of it has made tables of version {version} here")


def reject_unmigratable(plugins: Plugins, data_directory: Path) -> None:
    """Note the plugins whose tables the next start could not migrate; the database stays as it is.

    Where something is pending, it is tried on a copy in memory.
    """
    path, found = data_directory / DATABASE_NAME, tables(plugins)
    if not found or not path.is_file():
        return
    with suppress(StoreError), open_read_only(path) as source:  # others report the error
        for package, its_tables in found:
            try:
                _try_pending(source, its_tables)
            except Exception as error:  # noqa: BLE001 - a plugin's SQL
                plugins.reject_package(package, error)


def _try_pending(source: sqlite3.Connection, its_tables: PackageMigrations) -> None:
    rows: Iterable[tuple[int]] = ()
    with suppress(sqlite3.OperationalError):  # a schema before there were packages
        rows = source.execute("SELECT version FROM packages WHERE name = ?", (its_tables.name,))
    version = next((version for (version,) in rows), 0)
    steps = its_tables.steps()
    latest = steps[-1][0]
    if version > latest:
        raise _too_new(version)
    if version == latest:
        return
    [(schema,)] = source.execute("PRAGMA user_version")
    with closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        for number, sql in migrations():
            if number > schema:
                copy.executescript(sql)
        with _limit_time(copy, SECONDS, ""):
            for number, sql in steps:
                for statement in statements(sql) if number > version else ():
                    copy.execute(statement)
