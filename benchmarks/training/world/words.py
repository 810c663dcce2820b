"""English words for scenes, the single source of captions and of nano's vocabulary.

The most usual word comes first. Captions choose uniformly, so repeated entries are more frequent.
"""

from __future__ import annotations

from types import MappingProxyType

from benchmarks.training.world.backgrounds import PLACES, PLAIN
from benchmarks.training.world.scenes import Move
from benchmarks.training.world.shapes import OUTLINES

Words = MappingProxyType[str, tuple[str, ...]]
"""Synonyms by name."""

_SYNONYMS = MappingProxyType(
    {
        "ball": ("ball", "circle", "sphere"),
        "square": ("square", "box", "cube"),
        "ring": ("ring", "hoop"),
        "tree": ("tree", "fir tree"),
        "house": ("house", "hut"),
        "boat": ("boat", "sailing boat", "ship"),
        "moon": ("moon", "crescent"),
        "cat": ("cat", "kitten", "kitty"),
        "dog": ("dog", "puppy"),
        "horse": ("horse", "pony"),
        "car": ("car", "taxi"),
        "train": ("train", "locomotive"),
        "rocket": ("rocket", "spaceship"),
        "plane": ("plane", "airplane", "jet"),
        "flower": ("flower", "daisy"),
        "mushroom": ("mushroom", "toadstool"),
        "person": ("person", "man", "woman", "child"),
    }
)

THINGS: Words = MappingProxyType({name: _SYNONYMS.get(name, (name,)) for name in OUTLINES})

_IRREGULAR = MappingProxyType(
    {"fish": "fish", "man": "men", "woman": "women", "child": "children", "person": "people"}
)

USUAL_COLOURS = MappingProxyType(
    {
        "star": "yellow",
        "heart": "red",
        "moon": "yellow",
        "cloud": "white",
        "tree": "green",
        "fish": "orange",
        "sun": "yellow",
        "fox": "orange",
        "cat": "black",
        "dog": "brown",
        "bird": "blue",
        "horse": "brown",
        "car": "red",
        "train": "black",
        "rocket": "white",
        "plane": "white",
        "flower": "pink",
        "mushroom": "red",
        "person": "blue",
    }
)
"""Default colours by thing, for captions without one."""

_WHERE = MappingProxyType(
    {
        "snow": (
            *("in the snow", "in snow", "on a snowy field", "in a snowy landscape", "in winter"),
            *("through snow", "through the snow", "on snow"),
        ),
        "night": ("in the night sky", "at night", "under the stars", "in space", "in the dark"),
        "sunset": ("at sunset", "in the sunset", "in the evening", "in front of a sunset"),
        "meadow": (
            *("on a meadow", "on green grass", "in a green field", "in a park"),
            *("through the grass", "on the grass", "in a meadow"),
        ),
        "sky": ("in the blue sky", "in the sky", "among the clouds", "through the sky"),
        "city": (
            *("in the city at night", "over a city", "above city lights", "in the city"),
            "through the city",
        ),
        "desert": ("in the desert", "over sand dunes", "on the sand", "through the desert"),
        "sea": ("on the sea", "by the ocean", "on the water", "over the waves", "in the water"),
        "checkerboard": ("on a checkerboard", "on a chessboard", "on grey tiles"),
    }
)


def _before(colour: str) -> tuple[str, ...]:
    article = "an" if colour[0] in "aeiou" else "a"
    return (
        f"on {article} {colour} background",
        f"on {article} {colour} background",
        f"on a plain {colour} background",
        f"on plain {colour}",
        f"on {colour}",
        f"in front of {article} {colour} wall",
        f"in front of {article} {colour} background",
        f"against {article} {colour} background",
        f"with {article} {colour} background",
    )


_BACKGROUNDS = {name: _before(colour) for name, colour in PLAIN.items()}

WHERE: Words = MappingProxyType(
    {place: (_WHERE | _BACKGROUNDS)[place] for place in PLACES if place in _WHERE | _BACKGROUNDS}
)
"""Phrases by place; the default place has none."""

_ACTIONS = (
    *("moving", "moving", "moving", "going", "flying", "sliding", "drifting", "rolling"),
    *("running", "walking", "driving"),
)
_WAYS = MappingProxyType(
    {
        Move.LEFT: ("to the left", "to the left", "left", "towards the left"),
        Move.RIGHT: ("to the right", "to the right", "right", "towards the right"),
        Move.UP: ("up", "up", "upwards", "to the top"),
        Move.DOWN: ("down", "down", "downwards", "to the bottom"),
    }
)

UNDIRECTED = MappingProxyType(
    {
        Move.RIGHT: ("running", "walking", "driving", "flying", "swimming"),
        Move.UP: ("rising", "taking off", "floating up"),
        Move.DOWN: ("falling", "falling down", "sinking"),
    }
)
"""Verbs that imply a direction, by move."""

_PHRASES = MappingProxyType(
    {
        Move.STILL: ("standing still", "resting", "not moving"),
        Move.BOUNCE: ("bouncing", "jumping", "bouncing up and down", "hopping"),
        Move.CIRCLE: ("circling", "moving in a circle", "going round"),
        Move.GROW: ("growing", "getting bigger", "coming closer"),
        Move.SHRINK: ("shrinking", "getting smaller", "going away"),
        Move.SPIN: ("spinning", "turning", "rotating", "spinning around"),
    }
)

DIRECTED = MappingProxyType(
    {
        move: tuple(f"{action} {way}" for action in _ACTIONS for way in ways)
        for move, ways in _WAYS.items()
    }
)
"""Verbs of motion with a direction, by move."""

MOVES = MappingProxyType(
    {
        move: DIRECTED.get(move, ()) + UNDIRECTED.get(move, ()) + _PHRASES.get(move, ())
        for move in Move
    }
)

OPENINGS = ("a video of", "a cartoon of", "a beautiful picture of", "we see", "there is")

HARMLESS = (
    *(", cinematic", ", high quality", ", beautiful light, 4k", ", made for my friend"),
    *(", very detailed", ", while the music plays"),
)
"""Endings of captions without meaning, made of stop words."""

SILENT = (
    *("a", "an", "the", "one", "two", "three", "some", "is", "are", "of", "in", "on", "at", "by"),
    *("with", "and", "to", "it", "its", "we", "see", "there", "this", "that", "made", "for", "my"),
    *("me", "very", "show", "draw", "make", "please", "video", "clip", "movie", "film", "cartoon"),
    *("picture", "image", "photo", "drawing", "beautiful", "cinematic", "high", "quality"),
    *("light", "4k", "friend", "detailed", "while", "music", "plays", "something", "thing"),
    *("through", "across"),
)
"""Stop words: ignored without a note to the requester."""

ODD_ADJECTIVES = (
    *("happy", "old", "tiny", "wooden", "cute", "fluffy", "shiny", "brave", "lonely", "angry"),
    *("funny", "fast", "sleepy", "magic", "plastic", "elegant", "strange", "gentle", "dusty"),
)
ODD_ENDINGS = (
    *("quickly", "slowly", "with a hat", "like a king", "near a mountain", "with its family"),
    *("while it rains", "before breakfast", "in the style of an old master", "thinking of home"),
    *("because it is late", "wearing sunglasses", "and nobody knows why", "on a tuesday"),
)
"""Unknown words in some captions, so that the model learns to ignore such words."""


ODD_LINKS = (
    *("near the", "and a", "with my", "under the", "while the", "like a", "for the", "behind our"),
    *("because of the", "beside a", "without any", "after the", "around two", ","),
)
ODD_WORDS = (
    *("table", "river", "guitar", "castle", "teacher", "kitchen", "bottle", "window", "garden"),
    *("market", "engine", "morning", "forest", "bridge", "letter", "doctor", "summer", "island"),
    *("piano", "ladder", "blanket", "lantern", "pirate", "dragon", "robot", "painting", "story"),
    *("breakfast", "hospital", "museum", "candle", "carpet", "mirror", "whistle", "village"),
    *("volcano", "statue", "holiday", "secret", "neighbour", "weather", "century", "argument"),
    *("realistic", "vintage", "dramatic", "sharp focus", "close-up", "wide shot", "soft shadows"),
    *("watercolour", "documentary", "fantasy", "portrait", "minimalist", "award-winning", "hdr"),
    *("tomorrow", "seventeen", "suddenly", "carefully", "forever", "together", "nobody", "always"),
)
SYLLABLES = (
    *("ba", "cre", "dil", "fo", "gru", "hem", "jin", "ka", "lor", "mip", "nu", "pel", "quo", "rix"),
    *("sta", "tur", "vo", "wex", "yam", "zi", "blo", "chun", "dra", "fle", "gno", "tle", "ous"),
    *("ing", "ers", "ment", "th", "ble"),
)
"""What unknown words that are added to captions in training are made of."""


def plural(noun: str) -> str:
    """Return the plural of a thing's noun; scenes draw one thing in any case."""
    head, space, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("x", "sh", "ch", "s")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return head + space + last
