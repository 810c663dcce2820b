"""Loader of plugins: those that a config allows, tried, with their texts and tables checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from babel.messages.catalog import Catalog
from pydantic import ValidationError

from bot.plugins.tables import check_tables
from bot.plugins.trial import try_packages
from commands.text import messages
from commands.text.plugin_catalogs import read_catalogs
from inference.plugins.descriptor import Plugin
from inference.plugins.problem import BROKEN
from inference.plugins.registry import Plugins


def gather(
    disabled: Collection[str] = (), tables: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Plugins:
    """Return the plugins that can be used, and let their texts be found.

    Args:
        disabled: Names that `[plugins] disabled` has.
        tables: The members of `[plugins.<name>]` by name.
    """
    plugins = Plugins(disabled=disabled, tables=tables, trial=try_packages)
    catalogs: dict[str, Catalog] = {}
    for package in plugins.packages:
        descriptor = plugins.descriptors.get(package.name)
        if descriptor is None:
            continue
        try:
            found = _catalogs(descriptor, catalogs)
            check_tables(package, descriptor)
            with suppress(ValidationError):  # told with the config
                plugins.config_of(package)
        except BROKEN as error:  # files and code of plugins
            plugins.reject_package(package, error)
            continue
        for locale, catalog in found.items():
            known = catalogs.setdefault(locale, Catalog(locale=locale))
            for message in catalog:
                if message.id:
                    known[message.id] = message
    messages.use_plugin_catalogs(catalogs)
    return plugins


def _catalogs(descriptor: Plugin, others: Mapping[str, Catalog]) -> Mapping[str, Catalog]:
    if descriptor.catalog is None:
        return {}
    taken = {str(message.id) for catalog in others.values() for message in catalog if message.id}
    return read_catalogs(descriptor.catalog, taken)
