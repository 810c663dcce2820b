"""The installation: models and helpers, as the operator set them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from commands.option_set import OptionSet, own_option
from commands.parsing.suggestions import closest
from commands.parsing.values import accept, shorten
from commands.schema import Option
from inference.domain.capabilities import Capabilities, ModelOption
from inference.domain.errors import UserError
from inference.domain.spec import Mode, Spec
from inference.effects.base import EffectEntry


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
    problem: Callable[[str], UserError | None] = lambda _model: None
    """Returns what is wrong with a model that can be named and not used now: its folder is broken.
    What the model can do is not known then, so this is asked before any option is judged."""
    broken: frozenset[str] = frozenset()
    """Names of the models that were broken at the start."""
    others: tuple[Capabilities, ...] = ()
    """Models that are known and not installed, whose options are told from mistyped ones."""
    effects: tuple[EffectEntry, ...] = ()
    """The installed effects, in the order in which they are applied."""
    random_prompts: Mapping[str, Callable[[Spec], str]] = field(default_factory=dict)
    """Draws a prompt by the seed of a spec, for models that know few words, by name."""
    options: OptionSet = field(init=False)
    """What may be set here: the union over the installed models. It shows what those can do that
    are offered."""
    _by_model: Mapping[str, OptionSet] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        more = [own_option(option) for entry in self.effects for option in effect_options(entry)]
        known = OptionSet(self.models, *more, shown=self.offered, others=self.others)
        object.__setattr__(self, "options", known)
        by_model = {model.name: OptionSet([model], *more) for model in self.offered}
        object.__setattr__(self, "_by_model", by_model)

    @property
    def offered(self) -> tuple[Capabilities, ...]:
        """The models that forms and advice name: those that can be used, or all if none can."""
        whole = tuple(model for model in self.models if model.name not in self.broken)
        return whole or self.models

    def model(self, name: str) -> Capabilities:
        """Return the installed model that `name` names, in upper or lower case.

        Raises:
            UserError: `model.unknown` or `model.mistyped`.
        """
        for model in self.models:
            if model.name.casefold() == name.strip().casefold():
                return model
        known = [model.name for model in self.offered]
        guess = closest(name, known)
        if guess is None:
            raise UserError("model.unknown", name=shorten(name), known=known)
        raise UserError("model.mistyped", name=shorten(name), suggestion=guess, known=known)

    def offers(self, option: Option) -> bool:
        """Whether forms and help show an option here."""
        return self.assistant or not option.needs_assistant

    @property
    def default(self) -> Capabilities:
        """The default model."""
        return self.model(self.default_model)

    def find_options(self, model: str | None) -> OptionSet:
        """Return the options of a model, or those of all where no installed one is named."""
        named = (model or "").strip().casefold()
        return next(
            (set_ for name, set_ in self._by_model.items() if name.casefold() == named),
            self.options,
        )

    def agrees_on(self, option: Option) -> bool:
        """Whether every offered model with this option accepts all its values."""
        return all(
            found.shown[option.name].choices == option.choices
            for found in self._by_model.values()
            if option.name in found.shown
        )

    def check_effects(self, spec: Spec) -> None:
        """Check that every effect of a stored render is still here, and takes its values.

        Raises:
            UserError: `effect.missing`; or what a value is refused with, where another release of
                the plugin takes it no more.
        """
        there = {entry.name: entry for entry in self.effects}
        for use in spec.effects:
            if use.name not in there:
                raise UserError("effect.missing", effect=use.name, package=use.package)
            for option in there[use.name].options:
                if option.name in use.values:
                    accept(own_option(option), use.values[option.name])

    def able_to(self, mode: Mode) -> list[str]:
        """Return the names of the models that can make this kind of render."""
        return [model.name for model in self.offered if mode in model.modes]


def effect_options(entry: EffectEntry) -> Iterator[ModelOption]:
    """Yield the options of an effect, in the renders in which it has a meaning."""
    for option in entry.options:
        yield replace(option, modes=option.modes & entry.modes)
