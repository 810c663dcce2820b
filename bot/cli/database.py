"""Subcommands for the database: back it up, restore it, check it."""

from __future__ import annotations

import argparse

from bot.cli.handlers import _config, _print, language
from commands.text.messages import error_text, text


def backup(options: argparse.Namespace) -> int:
    """Copy the database while it is in use: to a file, or among the daily backups."""
    from bot.factories import backup_folder
    from inference.store import maintenance
    from inference.store.backups import rotate

    config = _config(options)
    target = options.file
    if target is None:
        target = rotate(config.bot.data_dir, backup_folder(config), config.backup.keep)
    else:
        maintenance.backup(config.bot.data_dir, target)
    size = target.stat().st_size // 1024
    _print(text("cli.db.saved", language(options.lang), path=str(target), kilobytes=size))
    return 0


def restore(options: argparse.Namespace) -> int:
    """Restore a backup, and keep the old database."""
    from inference.store import backups

    config, locale = _config(options), language(options.lang)
    kept = backups.restore(config.bot.data_dir, options.file)
    _print(text("cli.db.restored", locale, path=str(config.bot.data_dir)))
    if kept is not None:
        _print(text("cli.db.kept", locale, path=str(kept)))
    return 0


def check(options: argparse.Namespace) -> int:
    """Check the database for damage."""
    from inference.store import maintenance

    health = maintenance.check(_config(options).bot.data_dir)
    for problem in health.problems:
        _print(problem)
    _print(
        text(
            "cli.db.damaged" if health.problems else "cli.db.sound",
            language(options.lang),
            schema=health.schema,
            count=health.jobs,
            unfinished=health.unfinished,
            undelivered=health.undelivered,
        )
    )
    if health.schema < health.latest:
        _print(text("cli.db.older", language(options.lang), latest=health.latest))
    for key, rows in (("cli.db.undecodable", health.damaged), ("cli.db.aside", health.quarantined)):
        for row in rows:
            _print(text(key, language(options.lang), row=row))
    if health.obstacle is not None and not health.problems:
        _print(error_text(health.obstacle, language(options.lang)))
    return 1 if health.problems else 0
