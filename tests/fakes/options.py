"""What may be set where nano, Open-Sora and the test card are installed."""

from __future__ import annotations

from commands.option_set import OptionSet
from commands.policy.settings import SettingSet
from tests.fakes.models import MODELS

OPTIONS = OptionSet(MODELS.capabilities(name) for name in ("nano", "opensora", "testcard"))
SETTINGS = SettingSet(OPTIONS)
