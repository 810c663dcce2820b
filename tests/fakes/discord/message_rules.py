"""What Discord refuses in a message, beyond what its machine-readable contract says."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.discord.component_rules import check_components
from tests.fakes.discord.entities import COMPONENTS_V2

CONTENT = 2000
EMBED_TOTAL = 6000
EMBED_LIMITS = {"title": 256, "description": 4096, "footer": 2048, "author": 256}
NONCE = 25
FILES = 10
THREAD_NAME = 100
ARCHIVE_MINUTES = frozenset({60, 1440, 4320, 10080})


def check_message(body: dict[str, Any], *, file_names: list[str], flags: int) -> list[str]:
    """Return what is wrong with a message as it would be after this request.

    Args:
        body: The form, with every member that is going to be on the message.
        file_names: Of all attachments that are going to be there.
        flags: Of the message afterwards.
    """
    content = body.get("content") or ""
    embeds = body.get("embeds") or []
    components = body.get("components") or []
    newer = bool(flags & COMPONENTS_V2)
    problems = []
    if len(content) > CONTENT:
        problems.append(f"content: {len(content)} characters, at most {CONTENT}")
    if newer and (content or embeds or body.get("poll") or body.get("sticker_ids")):
        problems.append("flags: components v2 go without content, embeds, polls and stickers")
    if newer and not components:
        problems.append("components: components v2 need at least one")
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > NONCE:
        problems.append(f"nonce: at most {NONCE} characters")
    if body.get("enforce_nonce") and nonce is None:
        problems.append("enforce_nonce: needs a nonce")
    if len(file_names) > FILES:
        problems.append(f"attachments: at most {FILES}")
    problems += check_embeds(embeds)
    problems += check_components(components, newer=newer)
    problems += _check_mentions(body.get("allowed_mentions") or {})
    problems += _check_references(body, file_names)
    return problems


def check_embeds(embeds: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with embeds."""
    problems = ["embeds: at most 10"] if len(embeds) > 10 else []
    total = 0
    for number, embed in enumerate(embeds):
        fields = embed.get("fields") or []
        lengths = {
            "title": len(embed.get("title") or ""),
            "description": len(embed.get("description") or ""),
            "footer": len((embed.get("footer") or {}).get("text") or ""),
            "author": len((embed.get("author") or {}).get("name") or ""),
        }
        wrong = [
            f"{name}: at most {EMBED_LIMITS[name]}"
            for name in lengths
            if lengths[name] > EMBED_LIMITS[name]
        ]
        if len(fields) > 25:
            wrong.append("fields: at most 25")
        if any(not 1 <= len(f["name"]) <= 256 or not 1 <= len(f["value"]) <= 1024 for f in fields):
            wrong.append("fields: name 1-256, value 1-1024")
        if embed.get("video"):
            wrong.append("video: cannot be set")
        problems += [f"embeds[{number}].{problem}" for problem in wrong]
        total += sum(lengths.values())
        total += sum(len(field["name"]) + len(field["value"]) for field in fields)
    if total > EMBED_TOTAL:
        problems.append(f"embeds: {total} characters in all, at most {EMBED_TOTAL}")
    return problems


def check_thread(body: dict[str, Any]) -> list[str]:
    """Return what is wrong with the form of a new thread."""
    problems = []
    name = body.get("name") or ""
    if not 1 <= len(name.strip()) <= len(name) <= THREAD_NAME:
        problems.append(f"name: {len(name)} characters, 1-{THREAD_NAME}")
    if body.get("auto_archive_duration") not in {None, *ARCHIVE_MINUTES}:
        problems.append(f"auto_archive_duration: one of {sorted(ARCHIVE_MINUTES)}")
    return problems


def _check_mentions(allowed: dict[str, Any]) -> list[str]:
    parse = allowed.get("parse") or []
    clash = [name for name in ("users", "roles") if name in parse and allowed.get(name)]
    return [f"allowed_mentions: {name} both parsed and listed" for name in clash]


def _check_references(body: dict[str, Any], file_names: list[str]) -> list[str]:
    """Find `attachment://` where no such file is going to be."""
    named = set(re.findall(r"attachment://([^\"\s]+)", repr(_without_text(body)).replace("'", '"')))
    return [f"attachment://{name}: no such file" for name in sorted(named - set(file_names))]


def _without_text(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("embeds", "components")}
