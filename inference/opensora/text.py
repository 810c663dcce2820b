"""Text encoder: T5 with its tokenizer, and shortening of long prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference.opensora.prompts import clean, shorten_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5EncoderModel

TOKEN_LIMIT = 300
"""Most tokens of a caption, including the end-of-sequence token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedCaption:
    """An encoded caption, the transformer's input."""

    tokens: Tensor
    """Embeddings without padding, [tokens, caption_channels]."""
    text: str
    """The cleaned caption that was encoded."""
    shortened: bool
    """Whether the end of the prompt was cut to fit the token limit."""


class TextEncoder:
    """A T5 encoder with its tokenizer."""

    def __init__(
        self,
        model: T5EncoderModel,
        tokenizer: PreTrainedTokenizerBase,
        token_limit: int = TOKEN_LIMIT,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.token_limit = token_limit

    def encode(self, prompt: str, suffix: str = "") -> EncodedCaption:
        """Clean a prompt, shorten it to the token limit and encode it with its suffix.

        The original pads to 300 tokens and masks the padding. Without padding the embeddings are
        the same, and faster to compute.

        Raises:
            ValueError: The suffix alone is too long.
        """
        text, was_shortened = self._fit(prompt, suffix)
        ids = torch.tensor([self._ids(text)], device=self.model.device)
        with torch.inference_mode():
            states: Tensor = self.model(input_ids=ids).last_hidden_state
        return EncodedCaption(tokens=states[0], text=text, shortened=was_shortened)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=True).input_ids)

    def _fits(self, text: str) -> bool:
        return len(self._ids(text)) <= self.token_limit

    def _fit(self, prompt: str, suffix: str) -> tuple[str, bool]:
        """Shorten the prompt, not the suffix, by as few words as possible.

        Returns:
            The shortened prompt with its suffix, and whether anything was cut.
        """
        caption = clean(prompt + suffix)
        if self._fits(caption):
            return caption, False
        fitting, too_long = 0, len(prompt)
        caption = clean(suffix)
        if not self._fits(caption):
            raise ValueError(f"the suffix alone is longer than {self.token_limit} tokens")
        while too_long - fitting > 1:
            middle = (fitting + too_long) // 2
            candidate = clean(shorten_text(prompt, middle) + suffix)
            if self._fits(candidate):
                fitting, caption = middle, candidate
            else:
                too_long = middle
        return caption, True
