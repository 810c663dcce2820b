"""Recognition of messages that only greet, thank or ask for help."""

from __future__ import annotations

import re

_NOT_SAID = re.compile(r"[\W_]+")
"""Signs, emoji and spaces between words."""

_GREETINGS = """
hi|hii|hello|hello there|hi there|hey|hey there|hi all|hello everyone|hi everyone|hi bot
hello bot|yo|howdy|good morning|good afternoon|good evening|good night|sup|ping|test|testing
thanks|thank you|thanks a lot|thank you very much|thx|ty|cheers|bye|goodbye|ok|okay
help|help me|help please|please help|how|how to|how does this work|how do i use this
how do you work|how do i use you|what can you do|what do you do|what is this|who are you
what are you|how are you|commands|usage|start
안녕|안녕하세요|안녕하십니까|하이|헬로|반가워|반가워요|반갑습니다|좋은 아침|여보세요
고마워|고마워요|고맙습니다|감사|감사해요|감사합니다|잘 가|네|예|응
도움|도움말|도와줘|도와줘요|도와주세요|사용법|사용 방법|어떻게 써|어떻게 써요
어떻게 사용해|어떻게 사용해요
뭐 할 수 있어|뭐 할 수 있어요|무엇을 할 수 있나요|넌 누구야|누구세요|명령어
"""

_SAID = frozenset(each.strip() for each in re.split(r"[|\n]", _GREETINGS) if each.strip())


def is_greeting(said: str) -> bool:
    """Whether a message only greets, thanks or asks for help, in English or Korean.

    `hello` is one, `hello kitty on a hill` is a prompt.
    """
    words = _NOT_SAID.sub(" ", said.casefold().replace("'", "")).strip()
    return words in _SAID
