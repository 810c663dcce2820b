"""The command `/style`: `/generate` with a picture whose colours and light the clip gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from commands.context import Command
from commands.handlers import generate
from commands.option_set import OptionSet
from commands.options import PROMPT
from rushes_style.effect import NAME


def commands(options: OptionSet) -> Iterable[Command]:
    """Return the command; none where the effect cannot be used."""
    if NAME not in options.by_name:
        return
    rest = (option for option in options.order if option.name not in {PROMPT.name, NAME})
    yield Command(
        name="style",
        handler=generate.requiring(NAME),
        options=(PROMPT, replace(options.by_name[NAME], required=True), *rest),
        renders=True,
        texts={
            "en": "Make a clip in the colours and light of an image",
            "ko": "이미지의 색과 빛을 입힌 클립을 만들어요",
        },
    )
