"""Words of random prompts: subjects with the actions and places that suit them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A group of subjects that share actions and places."""

    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    places: tuple[str, ...]


ANIMALS_ON_LAND = Cast(
    subjects=(
        "a red fox",
        "a snow leopard",
        "a grey wolf",
        "a white horse with a braided tail",
        "a brown bear with her cub",
        "a herd of deer",
        "an elephant calf",
        "a shaggy sheepdog",
        "a black cat with green eyes",
        "a lone bison",
    ),
    actions=(
        "walks slowly towards the camera",
        "breaks into a run",
        "stops, lifts its head and listens",
        "shakes the water out of its coat",
        "climbs over a fallen trunk",
        "steps carefully through shallow water",
        "plays with a drifting leaf",
        "looks back once and moves on",
    ),
    places=(
        "in a birch forest in autumn",
        "on a snowy ridge",
        "in tall summer grass",
        "beside a mountain stream",
        "across a frozen lake",
        "on a windswept moor",
        "between mossy rocks",
        "at the edge of a misty pine wood",
        "in a field of poppies",
        "along a wide gravel beach",
    ),
)
SEA_LIFE = Cast(
    subjects=(
        "a sea turtle",
        "a humpback whale with its calf",
        "a swarm of glowing jellyfish",
        "a manta ray",
        "an octopus with shifting colours",
        "a pod of dolphins",
        "a school of silver fish",
        "a seahorse",
    ),
    actions=(
        "glides past and turns upwards",
        "rises towards the surface",
        "drifts with the current",
        "circles slowly",
        "passes through a shaft of light",
        "disappears into the blue",
        "swims close above the ground",
    ),
    places=(
        "over a coral reef",
        "beside a sunken ship",
        "in a forest of kelp",
        "under drifting ice",
        "in a flooded temple",
        "above white sand",
        "along a steep underwater cliff",
    ),
)
PEOPLE = Cast(
    subjects=(
        "an old fisherman in a yellow coat",
        "a girl with a red umbrella",
        "a street musician with an accordion",
        "a young woman in a blue linen dress",
        "a baker with flour on his arms",
        "an astronaut in a worn white suit",
        "a boy with a paper kite",
        "a knight in dented armour",
        "a dancer in grey",
        "a watchmaker with round glasses",
        "a cyclist with a basket of flowers",
        "a painter in a stained apron",
    ),
    actions=(
        "walks through the crowd without looking up",
        "laughs and turns around",
        "lights a lantern",
        "waits, then takes a first step",
        "writes something into a small notebook",
        "opens a letter and smiles",
        "looks up as it begins to rain",
        "spins once on the spot",
        "lifts a hand against the light",
        "carries a wooden box with great care",
    ),
    places=(
        "on a rainy market square",
        "on a railway platform",
        "in a greenhouse full of ferns",
        "on a rooftop above an old town",
        "in a narrow street with paper lanterns",
        "on a pier at low tide",
        "in a quiet library with tall windows",
        "in a workshop full of tools",
        "on a bridge over a canal",
        "in a sunflower field",
    ),
)
MACHINES = Cast(
    subjects=(
        "a steam locomotive",
        "a small rusty robot",
        "a vintage green convertible",
        "a hot-air balloon with broad stripes",
        "a wooden sailing ship",
        "a yellow biplane",
        "a tram with fogged windows",
        "a silver airship",
        "a lighthouse that walks on iron legs",
        "a fishing boat with peeling paint",
    ),
    actions=(
        "comes slowly into view",
        "passes close to the camera",
        "starts with a shudder",
        "turns in a wide curve",
        "leaves a trail of white vapour",
        "comes to rest",
        "moves on into the distance",
    ),
    places=(
        "between terraced hills",
        "above a sea of clouds",
        "along a stormy coast",
        "through a valley in early autumn",
        "past the lights of a harbour",
        "across a salt flat",
        "under a sky full of birds",
        "through a city of tall glass towers",
        "past a village in deep snow",
    ),
)
STILL_THINGS = Cast(
    subjects=(
        "a cup of coffee on a wooden table",
        "a bowl of ripe peaches",
        "a bunch of wild flowers in a jar",
        "a stack of old books with a candle",
        "a small bonsai tree",
        "a chess board in the middle of a game",
        "a violin in its open case",
        "a glass marble with a galaxy inside",
    ),
    actions=(
        "stands still while dust drifts through the air",
        "casts a long moving shadow",
        "trembles slightly in the wind",
        "catches the light as a cloud passes",
        "is slowly covered by falling petals",
        "glows for a moment and fades",
    ),
    places=(
        "by an open window",
        "on a balcony above the sea",
        "in an empty ballroom",
        "on a sill while rain runs down the glass",
        "in a garden after a storm",
        "in front of a fireplace",
    ),
)
LANDSCAPES = Cast(
    subjects=(
        "a waterfall",
        "a field of lavender",
        "a volcano",
        "a village of stilt houses",
        "a lone tree",
        "an abandoned monastery",
        "a glacier with a blue cave",
        "a chain of floating islands",
        "a desert of red dunes",
        "a terraced rice field",
    ),
    actions=(
        "appears as the mist lifts",
        "lies still while clouds race over it",
        "is crossed by the shadow of a cloud",
        "is swept by a sudden gust",
        "changes colour with the light",
        "is reflected in calm water",
    ),
    places=(
        "deep in a green valley",
        "at the foot of snowy mountains",
        "on a rocky coast",
        "at the end of the world",
        "on a plain without a road",
        "high above the clouds",
    ),
)
CASTS = (ANIMALS_ON_LAND, SEA_LIFE, PEOPLE, MACHINES, STILL_THINGS, LANDSCAPES)

LIGHTS = (
    "Low golden sunlight comes in from the side.",
    "The light is soft and grey, as before snow.",
    "Cold moonlight picks out the edges.",
    "The last light of the evening glows behind it.",
    "Bright midday sun draws hard shadows.",
    "Beams of light fall through haze.",
    "Distant lightning flickers in the clouds.",
    "Warm lamplight stands against the blue of dusk.",
    "Northern lights ripple overhead.",
    "The first sun of the morning melts the fog.",
    "Coloured reflections dance over everything.",
    "It is lit from below by a deep orange glow.",
)
LENSES = (
    "Seen through a wide-angle lens from close to the ground.",
    "A long lens turns the background into soft circles.",
    "A macro lens shows the finest textures.",
    "A normal lens at eye level keeps it natural.",
    "Seen from high above, everything looks like a model.",
    "An anamorphic lens draws thin blue flares.",
    "A fast lens keeps only a thin plane in focus.",
    "Seen in profile, with much empty space in front.",
)
CAMERAS = (
    "The camera holds still.",
    "The camera moves slowly closer.",
    "The camera draws back and shows how vast it is.",
    "The camera follows alongside.",
    "The camera circles around it.",
    "The camera rises gently.",
    "A handheld camera sways a little.",
    "The camera glides past from left to right.",
)
STYLES = (
    "Filmed like a nature documentary.",
    "The look of a 35 mm film from the seventies, with fine grain.",
    "In the style of a watercolour painting.",
    "As stop-motion animation with felt and paper.",
    "Cinematic, with muted teal and amber.",
    "In high-contrast black and white.",
    "Like a hand-drawn animated film.",
    "Photorealistic and rich in detail.",
    "Like an old travel poster come to life.",
    "Dreamlike, in pastel colours.",
    "In the manner of an oil painting with thick strokes.",
    "Crisp and modern, like a commercial.",
)
