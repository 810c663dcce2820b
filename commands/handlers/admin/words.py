"""/rushes-admin words: the words that a guild forbids."""

from __future__ import annotations

from commands.context import Call, Command, admin_command
from commands.handlers.arguments import incomplete_error, read_arguments
from commands.parsing.values import shorten
from commands.policy.words_store import MAXIMUM_WORDS
from commands.schema import Kind, Option
from commands.text import replies
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.domain.errors import NotFound, UserError
from inference.domain.untrusted_text import isolate_foreign
from inference.safety.terms import normal

_ACTION = Option(
    name="action",
    kind=Kind.CHOICE,
    choices=("list", "add", "remove"),
    worded=True,
    default="list",
)
_WORD = Option(name="word", kind=Kind.TEXT, max_length=64)
_OPTIONS = (_ACTION, _WORD)


async def words(call: Call) -> Card:
    """List, add or remove the words that the guild forbids."""
    given = read_arguments(call, _OPTIONS)
    typed = str(given.get(_WORD.name, ""))
    match given.get(_ACTION.name, "list"):
        case "add":
            word = _word(typed, "add")
            if not await call.policy.words.add(call.channel.tenant, word, call.caller.requester):
                raise UserError("words.too_many", limit=MAXIMUM_WORDS)
            return replies.note("words.added", call.locale, word=word)
        case "remove":
            word = _word(typed, "remove")
            if not await call.policy.words.remove(call.channel.tenant, word, call.caller.requester):
                raise NotFound("words.not_there", word=shorten(typed))
            return replies.note("words.removed", call.locale, word=word)
        case _:
            return await _list_words(call)


async def _list_words(call: Call) -> Card:
    forbidden = await call.policy.words.of(call.channel.tenant)
    if not forbidden:
        return replies.note("words.none", call.locale)
    separator = text("list.separator", call.locale)
    return Card(
        kind=CardKind.INFO,
        title=text("words.title", call.locale, count=len(forbidden)),
        lines=((separator.join(map(isolate_foreign, forbidden)),),),
    )


def _word(typed: str, action: str) -> str:
    """Return the canonical spelling of a word."""
    word = normal(typed)
    if not word:
        raise incomplete_error(_WORD, after=action)
    return word


def admin_commands() -> tuple[Command, ...]:
    """Return the commands of this module, which are for admins."""
    return (admin_command(name="words", handler=words, options=_OPTIONS),)
