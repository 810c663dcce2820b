"""HTML pages that imitate messages in Discord, Slack and a terminal; see `benchmarks.cards`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """A message to draw."""

    name: str
    payload: dict[str, Any]


class Shot(NamedTuple):
    """A screenshot to take."""

    name: str
    width: int
    dark: bool
    columns: int = 1
    menus: bool = True
    """Whether a closed menu says what it opens."""


SHOTS = {
    "discord": [
        Shot("dark", 1240, dark=True, columns=2),
        Shot("light", 1240, dark=False, columns=2),
        Shot("phone", 1220, dark=True, columns=3),
    ],
    "slack": [
        Shot("light", 1240, dark=False, columns=2),
        Shot("dark", 1240, dark=True, columns=2),
        Shot("phone", 1220, dark=False, columns=3),
    ],
    "terminal": [Shot("dark", 1240, dark=True, columns=2)],
    "readme": [
        Shot("dark", 1240, dark=True, columns=2, menus=False),
        Shot("light", 1240, dark=False, columns=2, menus=False),
    ],
}

_COMMON = """
* { box-sizing: border-box; }
body { margin: 0; padding: 16px; font: 15px/1.4 "gg sans", "Noto Sans", "Noto Sans CJK KR",
       Lato, Helvetica, Arial, sans-serif; }
.columns { column-gap: 24px; }
.shown { break-inside: avoid; margin-bottom: 20px; }
.name { font-size: 12px; opacity: .6; margin-bottom: 4px; }
img { display: block; max-width: 100%; }
"""
_PLAIN = ".open { display: none; } .name { font-size: 15px; opacity: .85; }"
"""For the first page, where captions are read and menus are not explained."""
_DISCORD = """
.box { border: 1px solid var(--line); border-left: 4px solid; border-radius: 8px;
       padding: 12px 16px; background: var(--box); max-width: 560px; }
.box > * { margin-top: 8px; } .box > *:first-child { margin-top: 0; }
h3 { margin: 0; font-size: 18px; line-height: 1.25; overflow-wrap: anywhere; }
.small { font-size: 12.5px; color: var(--faint); overflow-wrap: anywhere; }
.line { overflow-wrap: anywhere; min-height: 1em; }
.row { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px; max-width: 560px; }
.button { background: var(--button); border-radius: 8px; padding: 5px 14px; font-size: 14px;
          font-weight: 600; }
.danger { background: #d22d39; color: white; }
.select { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; width: 100%;
          color: var(--faint); background: var(--input); display: flex; }
.select b { margin-left: auto; }
.open { font-size: 12px; color: var(--faint); }
.picture { position: relative; border-radius: 8px; overflow: hidden; }
.picture img { width: 100%; } .cover img { filter: blur(28px); }
.cover::after { content: "SPOILER"; position: absolute; inset: 0; margin: auto; width: 92px;
  height: 32px; background: #000a; color: white; border-radius: 16px; text-align: center;
  font: 600 14px/32px sans-serif; }
.mention { background: #5865f24d; color: var(--mention); border-radius: 3px; padding: 0 2px; }
.time { background: var(--button); border-radius: 3px; padding: 0 2px; }
.video { max-width: 400px; margin-top: 6px; }
.private { font-size: 12px; color: var(--faint); margin-top: 4px; }
"""
_SLACK = """
.message { max-width: 600px; }
.header { font-size: 18px; font-weight: 800; overflow-wrap: anywhere; }
.section { margin-top: 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
.context { margin-top: 4px; font-size: 13px; color: var(--faint); overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px; }
.button { border: 1px solid var(--line); border-radius: 8px; padding: 4px 12px; font-size: 13px;
          font-weight: 700; background: var(--button); }
.primary { background: #007a5a; color: white; border-color: #007a5a; }
.danger { background: #e01e5a; color: white; border-color: #e01e5a; }
.confirm { font-size: 12px; color: var(--faint); margin-top: 4px; }
.picture { margin-top: 8px; max-width: 360px; border-radius: 8px; overflow: hidden; }
.file { margin-top: 6px; border: 1px solid var(--line); border-radius: 12px; overflow: hidden;
        max-width: 400px; }
.file div { padding: 8px 12px; font-weight: 700; font-size: 13px; overflow-wrap: anywhere; }
.mention { background: #1d9bd11a; color: var(--mention); border-radius: 3px; padding: 0 2px; }
a { color: var(--mention); text-decoration: none; }
"""
_TERMINAL = """
pre { margin: 0; font: 14px/1.35 "DejaVu Sans Mono", "Noto Sans Mono CJK KR", monospace; }
.shown { overflow: hidden; }
a { color: inherit; }
"""
_COLOURS = {
    ("discord", True): "--bg:#313338;--ink:#dbdee1;--faint:#949ba4;--box:#2b2d31;--line:#3f4147;"
    "--button:#4e5058;--input:#1e1f22;--mention:#c9cdfb",
    ("discord", False): "--bg:#fff;--ink:#2e3338;--faint:#5c5e66;--box:#f2f3f5;--line:#dcdee1;"
    "--button:#e0e1e5;--input:#fff;--mention:#4752c4",
    ("slack", False): "--bg:#fff;--ink:#1d1c1d;--faint:#616061;--line:#bbb;--button:#fff;"
    "--mention:#1264a3",
    ("slack", True): "--bg:#1a1d21;--ink:#d1d2d3;--faint:#ababad;--line:#565856;"
    "--button:#222529;--mention:#1d9bd1",
    ("terminal", True): "--bg:#16181d;--ink:#d6d6d6",
}


def discord_page(messages: Sequence[Shown], shot: Shot, picture: str) -> str:
    """Return a page with messages as in Discord."""
    shown = [(name, _discord(each, each.get("picture", picture))) for name, each in messages]
    return _page("discord", _DISCORD, shown, shot)


def slack_page(messages: Sequence[Shown], shot: Shot, picture: str) -> str:
    """Return a page with messages as in Slack."""
    shown = [(name, _slack(each, each.get("picture", picture))) for name, each in messages]
    return _page("slack", _SLACK, shown, shot)


def terminal_page(messages: Sequence[Shown], shot: Shot, picture: str) -> str:  # noqa: ARG001
    """Return a page with messages as in a terminal."""
    shown = [(name, payload["html"]) for name, payload in messages]
    return _page("terminal", _TERMINAL, shown, shot)


def _page(chat: str, style: str, shown: Iterable[tuple[str, str]], shot: Shot) -> str:
    colours = _COLOURS[chat, shot.dark]
    drawn = "".join(
        f'<div class="shown"><div class="name">{html.escape(name)}</div>{body}</div>'
        for name, body in shown
    )
    return (
        f'<!doctype html><meta charset="utf-8"><style>:root{{{colours}}}{_COMMON}{style}'
        f"body{{background:var(--bg);color:var(--ink)}}{'' if shot.menus else _PLAIN}</style>"
        f'<div class="columns" style="column-count:{shot.columns}">{drawn}</div>'
    )


# -- Discord -------------------------------------------------------------------------------------

DANGER = 4


def _discord(payload: dict[str, Any], picture: str) -> str:
    parts = [_markdown(payload["content"])] if payload["content"] else []
    for embed in payload["embeds"]:
        title = f"<h3>{_inline(embed['title'])}</h3>" if embed.get("title") else ""
        words = _markdown(embed.get("description") or "")
        foot = (
            f'<div class="small">{html.escape((embed.get("footer") or {}).get("text", ""))}</div>'
        )
        colour = embed.get("color") or 0
        parts.append(_box(colour, f"{title}{words}{foot}"))
    if payload["file"]:
        cover = " cover" if payload["file"]["spoiler"] else ""
        parts.append(f'<div class="video picture{cover}"><img src="{picture}"></div>')
    parts += [_component(component, picture) for component in payload["components"]]
    if payload["private"]:
        parts.append('<div class="private">👁 Only you can see this · Dismiss message</div>')
    return "".join(parts)


def _box(colour: int, drawn: str) -> str:
    return f'<div class="box" style="border-left-color:#{colour:06x}">{drawn}</div>'


def _component(component: dict[str, Any], picture: str) -> str:
    inside = component.get("components", [])
    match component["type"]:
        case 17:
            drawn = "".join(_component(each, picture) for each in inside)
            return _box(component["accent_color"], drawn)
        case 1:
            return f'<div class="row">{"".join(_component(each, picture) for each in inside)}</div>'
        case 2:
            danger = " danger" if component["style"] == DANGER else ""
            return f'<span class="button{danger}">{html.escape(component["label"])}</span>'
        case 3:
            options = " · ".join(html.escape(option["label"]) for option in component["options"])
            return (
                f'<div class="select">{html.escape(component["placeholder"])}<b>⌄</b></div>'
                f'<div class="open">opens: {options}</div>'
            )
        case 10:
            return f"<div>{_markdown(component['content'])}</div>"
        case 12:
            [item] = component["items"]
            cover = " cover" if item["spoiler"] else ""
            alt = html.escape(item["description"] or "", quote=True)
            return f'<div class="picture{cover}"><img src="{picture}" alt="{alt}"></div>'
    raise ValueError(component["type"])


def _markdown(text: str) -> str:
    return "".join(map(_markdown_line, text.split("\n")))


def _markdown_line(line: str) -> str:
    if line.startswith("### "):
        return f"<h3>{_inline(line[4:])}</h3>"
    if line.startswith("-# "):
        return f'<div class="small">{_inline(line[3:])}</div>'
    return f'<div class="line">{_inline(line)}</div>'


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"\\(.)", lambda found: f"&#{ord(found[1])};", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"&lt;t:(\d+):t&gt;", lambda f: f'<span class="time">{_clock(f[1])}</span>', text)
    return re.sub(r"&lt;@\w+&gt;", '<span class="mention">@Ada</span>', text)


# -- Slack ---------------------------------------------------------------------------------------


def _slack(payload: dict[str, Any], picture: str) -> str:
    parts = []
    if "file" in payload:
        parts.append(f'<div class="section">{_mrkdwn(payload["comment"])}</div>')
        title = html.escape(payload["file"])
        parts.append(f'<div class="file"><div>{title}</div><img src="{picture}"></div>')
    parts += [_block(block, picture) for block in payload["blocks"]]
    return f'<div class="message">{"".join(parts)}</div>'


def _block(block: dict[str, Any], picture: str) -> str:
    match block["type"]:
        case "header":
            return f'<div class="header">{_said(block["text"])}</div>'
        case "section":
            return f'<div class="section">{_said(block["text"])}</div>'
        case "context":
            said = " ".join(_said(element) for element in block["elements"])
            return f'<div class="context">{said}</div>'
        case "image":
            alt = html.escape(block["alt_text"], quote=True)
            return f'<div class="picture"><img src="{picture}" alt="{alt}"></div>'
        case "actions":
            drawn = "".join(_pressable(element) for element in block["elements"])
            asking = [e["confirm"] for e in block["elements"] if "confirm" in e]
            asked = "".join(
                f'<div class="confirm">⋯ asks: {_said(each["title"])} {_said(each["text"])}'
                f" [{_said(each['deny'])}] [{_said(each['confirm'])}]</div>"
                for each in asking
            )
            return f'<div class="row">{drawn}</div>{asked}'
    raise ValueError(block["type"])


def _pressable(element: dict[str, Any]) -> str:
    if element["type"] == "overflow":
        return '<span class="button">⋯</span>'
    return f'<span class="button {element.get("style", "")}">{_said(element["text"])}</span>'


def _said(text: dict[str, Any]) -> str:
    # Slack's mrkdwn is HTML-escaped already.
    return str(text["text"]) if text["type"] == "plain_text" else _mrkdwn(text["text"])


def _mrkdwn(text: str) -> str:
    text = re.sub(r"<!date\^(\d+)\^[^|>]*\|[^>]*>", lambda found: _clock(found[1]), text)
    text = re.sub(r"<@\w+>", "\x00", text)
    text = re.sub(r"<(https?[^|>]+)\|([^>]*)>", r'<a href="\1">\2</a>', text)
    text = re.sub(r"(?m)^\*(.+)\*$", r"<b>\1</b>", text)
    return text.replace("\x00", '<span class="mention">@Ada</span>')


def _clock(at: str) -> str:
    return datetime.fromtimestamp(int(at), tz=UTC).strftime("%H:%M")
