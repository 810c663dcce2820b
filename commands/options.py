"""The options of a render, declared once: the source of flags, forms, help and JSON schema."""

from __future__ import annotations

from dataclasses import replace

from commands.schema import VIDEO_MODES, Group, Kind, Option, Range
from inference.domain.spec import HIGHEST_CFG, LOWEST_CFG, SEEDS, Aspect, Mode, Resolution

MAX_PROMPT = 2000
"""Characters; also the most that Discord shows in one message."""

MAX_FRAMES = 10_000
"""The limit of any request; models support far less."""

PROMPT = Option(
    name="prompt", kind=Kind.TEXT, max_length=MAX_PROMPT, required=True, read_by_model=True
)

IMAGE = Option(
    name="image",
    kind=Kind.IMAGE,
    flag="image",
    max_length=MAX_PROMPT,
    modes=VIDEO_MODES,
)

LAST = Option(
    name="last",
    kind=Kind.IMAGE,
    flag="last",
    group=Group.ADVANCED,
    max_length=MAX_PROMPT,
    modes=frozenset({Mode.IMAGE_TO_VIDEO}),
)
"""The image that a clip from an image ends with."""

RESOLUTION = Option(
    name="resolution",
    kind=Kind.CHOICE,
    flag="resolution",
    short="res",
    choices=tuple(Resolution),
    default=Resolution.P720,
)

ASPECT = Option(
    name="aspect",
    kind=Kind.CHOICE,
    flag="aspect",
    short="ar",
    choices=tuple(Aspect),
    default=Aspect.WIDE,
)

FRAME_COUNT = Option(
    name="frames",
    kind=Kind.INTEGER,
    flag="frames",
    range=Range(lowest=1, highest=MAX_FRAMES),
    unit="unit.frames",
)

REFINE = Option(
    name="refine",
    kind=Kind.FLAG,
    flag="refine",
    group=Group.ADVANCED,
    default=True,
    needs_assistant=True,
)

DRAFT = Option(
    name="draft",
    kind=Kind.FLAG,
    flag="draft",
    group=Group.ADVANCED,
    default=False,
)
"""The model's cheapest version, which can be finished later."""

SEED = Option(
    name="seed",
    kind=Kind.INTEGER,
    flag="seed",
    group=Group.ADVANCED,
    range=Range(lowest=0, highest=SEEDS - 1),
)

STEPS = Option(
    name="steps",
    kind=Kind.INTEGER,
    flag="steps",
    group=Group.ADVANCED,
    range=Range(lowest=1, highest=200),
    default=30,
)

CFG = Option(
    name="cfg",
    kind=Kind.NUMBER,
    flag="cfg",
    group=Group.ADVANCED,
    range=Range(lowest=LOWEST_CFG, highest=HIGHEST_CFG),
    default=7.0,
)

LOOPS = Option(
    name="loops",
    kind=Kind.INTEGER,
    flag="loops",
    group=Group.ADVANCED,
    range=Range(lowest=1, highest=20),
    default=1,
    modes=VIDEO_MODES,
)

MODEL = Option(
    name="model",
    kind=Kind.MODEL,
    flag="model",
    group=Group.ADVANCED,
    max_length=64,
)

NEGATIVE = Option(
    name="negative",
    kind=Kind.TEXT,
    flag="negative",
    short="no",
    group=Group.ADVANCED,
    max_length=MAX_PROMPT,
    read_by_model=True,
)

PRESET = Option(name="preset", kind=Kind.TEXT, flag="preset", group=Group.ADVANCED, max_length=64)
"""The name of kept options that hold for one job, below what is typed."""

COUNT = Option(
    name="count",
    kind=Kind.INTEGER,
    flag="count",
    range=Range(lowest=1, highest=4),
    default=1,
)
"""The number of jobs of a request, each with the next seed."""

NEUTRAL_OPTIONS = (
    PROMPT,
    IMAGE,
    LAST,
    RESOLUTION,
    ASPECT,
    FRAME_COUNT,
    REFINE,
    DRAFT,
    SEED,
    STEPS,
    CFG,
    LOOPS,
    MODEL,
    NEGATIVE,
    PRESET,
    COUNT,
)
"""Every option of a render, in the order in which forms and help show them."""

JOB = Option(name="job", kind=Kind.TEXT, max_length=32)
"""The id of a job, given after a command."""

JOB_TO_CANCEL = replace(JOB, required=True)
"""The same where there is no sensible guess."""

CONFIRM = Option(name="confirm", kind=Kind.CHOICE, choices=("yes",), worded=True)
"""Said to what cannot be undone."""

TOPIC = Option(name="command", kind=Kind.TEXT, max_length=64)
"""The command that help is asked about."""

NAME = Option(name="name", kind=Kind.TEXT, max_length=64)
"""The name of a preset."""

PERSON = Option(name="person", kind=Kind.TEXT, max_length=128)
"""A person on the platform: a mention, or an id."""

REASON = Option(name="reason", kind=Kind.TEXT, max_length=200)

KEY = Option(name="key", kind=Kind.TEXT, max_length=64)
"""A setting."""

VALUE = Option(name="value", kind=Kind.TEXT, max_length=MAX_PROMPT)
"""The value of a setting."""

FLAGS = Option(name="flags", kind=Kind.TEXT, max_length=MAX_PROMPT)
"""Options of a render, as they are typed into a prompt."""

MORE = replace(FLAGS, name="more")
"""The same, for options that a chat has no room for."""

TEXTS = frozenset({PROMPT.name, FLAGS.name, MORE.name})
"""Texts that may hold flags."""

HERE = Option(name="channel", kind=Kind.FLAG, flag="channel")
"""For this channel instead of the whole guild."""

SHARED = Option(name="everyone", kind=Kind.FLAG, flag="everyone")
"""For the whole guild instead of the caller."""

WORDS = Option(name="words", kind=Kind.TEXT, max_length=200)
"""The words to search for."""

PAGE = Option(
    name="page",
    kind=Kind.INTEGER,
    flag="page",
    range=Range(lowest=1, highest=100_000),
    default=1,
)
