"""The options of a render, declared once: the source of flags, forms, help and JSON schema."""

from __future__ import annotations

from dataclasses import replace

from commands.schema import VIDEO_MODES, Group, Kind, Option, Range
from inference.domain.spec import (
    FILE_FPS,
    HIGHEST_CFG,
    LOWEST_CFG,
    Aesthetic,
    Aspect,
    Camera,
    Mode,
    Motion,
    Resolution,
)
from inference.engines.geometry import FRAMES

MAX_PROMPT = 2000
"""Characters; also the most that Discord shows in one message."""

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
    flag="res",
    choices=tuple(Resolution),
    default=Resolution.P720,
)

ASPECT = Option(
    name="aspect",
    kind=Kind.CHOICE,
    flag="ar",
    choices=tuple(Aspect),
    default=Aspect.WIDE,
)

FRAME_COUNT = Option(
    name="frames",
    kind=Kind.INTEGER,
    flag="frames",
    choices=FRAMES,
    default=97,
    unit="unit.frames",
)

MOTION = Option(
    name="motion",
    kind=Kind.CHOICE,
    flag="motion",
    choices=tuple(Motion),
    worded=True,
    default=Motion.FAIR,
    modes=VIDEO_MODES,
)

AESTHETIC = Option(
    name="aesthetic",
    kind=Kind.CHOICE,
    flag="aesthetic",
    group=Group.ADVANCED,
    choices=tuple(Aesthetic),
    worded=True,
    default=Aesthetic.EXCELLENT,
)

CAMERA = Option(
    name="camera",
    kind=Kind.CHOICE,
    flag="camera",
    choices=tuple(Camera),
    worded=True,
    default=Camera.NONE,
    modes=VIDEO_MODES,
)

REFINE = Option(
    name="refine",
    kind=Kind.FLAG,
    flag="refine",
    group=Group.ADVANCED,
    default=True,
    needs_assistant=True,
)

SEED = Option(
    name="seed",
    kind=Kind.INTEGER,
    flag="seed",
    group=Group.ADVANCED,
    range=Range(lowest=0, highest=2**32 - 1),
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

FPS = Option(
    name="fps",
    kind=Kind.INTEGER,
    flag="fps",
    group=Group.ADVANCED,
    range=Range(lowest=1, highest=60),
    default=FILE_FPS,
    modes=VIDEO_MODES,
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
    flag="no",
    group=Group.ADVANCED,
    max_length=MAX_PROMPT,
    read_by_model=True,
)

RENDER_OPTIONS = (
    PROMPT,
    IMAGE,
    LAST,
    RESOLUTION,
    ASPECT,
    FRAME_COUNT,
    MOTION,
    AESTHETIC,
    CAMERA,
    REFINE,
    SEED,
    STEPS,
    CFG,
    FPS,
    LOOPS,
    MODEL,
    NEGATIVE,
)
"""Every option of a render, in the order in which forms and help show them."""

BY_NAME = {option.name: option for option in RENDER_OPTIONS}
BY_FLAG = {option.flag: option for option in RENDER_OPTIONS if option.flag is not None}

JOB = Option(name="job", kind=Kind.TEXT, max_length=32)
"""The id of a job, given after a command."""

JOB_TO_CANCEL = replace(JOB, required=True)
"""The same where there is no sensible guess."""

CONFIRM = Option(name="confirm", kind=Kind.CHOICE, choices=("yes",), worded=True)
"""Said to what cannot be undone."""

TOPIC = Option(name="command", kind=Kind.TEXT, max_length=64)
"""The command that help is asked about."""

NAME = Option(name="name", kind=Kind.TEXT, max_length=64)
"""What a preset is called."""

PERSON = Option(name="person", kind=Kind.TEXT, max_length=128)
"""Somebody on the platform: a mention, or an id."""

REASON = Option(name="reason", kind=Kind.TEXT, max_length=200)

KEY = Option(name="key", kind=Kind.TEXT, max_length=64)
"""A setting."""

VALUE = Option(name="value", kind=Kind.TEXT, max_length=MAX_PROMPT)
"""What a setting is set to."""

FLAGS = Option(name="flags", kind=Kind.TEXT, max_length=MAX_PROMPT)
"""Options of a render, as they are typed into a prompt."""

HERE = Option(name="channel", kind=Kind.FLAG, flag="channel")
"""For this channel instead of the whole guild."""

SHARED = Option(name="everyone", kind=Kind.FLAG, flag="everyone")
"""For everybody in the guild instead of the caller."""

WORDS = Option(name="words", kind=Kind.TEXT, max_length=200)
"""What to search for."""

PAGE = Option(
    name="page",
    kind=Kind.INTEGER,
    flag="page",
    range=Range(lowest=1, highest=100_000),
    default=1,
)
