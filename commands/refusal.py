"""Refusals of requests, with the changes that would make them work.

Their texts are the keys `error.…` of the catalogs in `commands/locales`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from commands.schema import Value
from inference.domain.errors import UserError

Changes = Mapping[str, Value | None]
"""Values by option name that are set in place of those asked for; None leaves an option out.

That of a text with flags, such as `prompt`, is the whole text corrected.
"""

MAXIMUM_OFFERS = 4
"""Buttons of one refusal: more would be a list to study."""


class Refusal(UserError):
    """A refused request, with changes that would make it work."""

    def __init__(self, code: str, *offers: Changes, **params: Any) -> None:
        super().__init__(code, **params)
        self.offers = offers[:MAXIMUM_OFFERS]


class MistypedError(UserError):
    """Error for a typed text with a misspelt word."""

    def __init__(self, error: UserError, corrected: str) -> None:
        super().__init__(error.code, **error.params)
        self.corrected = corrected
        """The whole text with the likeliest word instead."""


@contextlib.contextmanager
def offer_correction(name: str) -> Iterator[None]:
    """Offer the corrected text when a word parsed in the block is mistyped.

    Args:
        name: Of the option or field that the text is of.

    Raises:
        Refusal: `flag.mistyped` or `value.mistyped`.
    """
    try:
        yield
    except MistypedError as error:
        raise Refusal(error.code, {name: error.corrected}, **error.params) from error
