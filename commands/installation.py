"""What this installation can do, as the operator set it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from commands.parsing.suggestions import closest
from commands.parsing.values import shown
from commands.schema import Option
from inference.domain.errors import UserError
from inference.domain.spec import Mode, Spec
from inference.engines.base import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installed models and helpers."""

    models: tuple[Capabilities, ...]
    """Installed models, in the order of the config."""
    default_model: str
    assistant: bool = False
    """Whether a prompt assistant is there to refine prompts."""
    check: Callable[[Spec], None] = lambda _spec: None
    """Raises a `UserError` for what this machine cannot render: asked before anything is taken."""

    def model(self, name: str) -> Capabilities:
        """Return the installed model that `name` names, in upper or lower case.

        Raises:
            UserError: `model.unknown` or `model.mistyped`.
        """
        for model in self.models:
            if model.name.casefold() == name.strip().casefold():
                return model
        known = [model.name for model in self.models]
        guess = closest(name, known)
        if guess is None:
            raise UserError("model.unknown", name=shown(name), known=known)
        raise UserError("model.mistyped", name=shown(name), suggestion=guess, known=known)

    def offers(self, option: Option) -> bool:
        """Return whether forms and help should show an option here."""
        return self.assistant or not option.needs_assistant

    def able_to(self, mode: Mode) -> list[str]:
        """Return the names of the models that can make this kind of render."""
        return [model.name for model in self.models if mode in model.modes]
