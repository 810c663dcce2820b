"""Emoji of nano's vocabulary: what each one shows, without variation selectors."""

from __future__ import annotations

from types import MappingProxyType

EMOJI: MappingProxyType[str, MappingProxyType[str, tuple[str, ...]]] = MappingProxyType(
    {
        "things": MappingProxyType(
            {
                "ball": ("⚽", "🏀", "🎾"),
                "triangle": ("🔺", "🔻"),
                "star": ("⭐", "🌟"),
                "ring": ("💍",),
                "heart": ("❤", "💙", "💚", "💛", "🧡", "💜"),
                "diamond": ("💎", "🔶", "🔷"),
                "moon": ("🌙", "🌛"),
                "cloud": ("☁",),
                "tree": ("🌲", "🌳", "🎄"),
                "house": ("🏠", "🏡"),
                "fish": ("🐟", "🐠", "🐡"),
                "boat": ("⛵", "🚤"),
                "sun": ("☀", "🌞"),
                "fox": ("🦊",),
                "cat": ("🐱", "🐈"),
                "dog": ("🐶", "🐕"),
                "car": ("🚗", "🚙"),
                "rocket": ("🚀",),
            }
        ),
        "places": MappingProxyType(
            {
                "snow": ("❄", "🌨"),
                "night": ("🌃", "🌌"),
                "sunset": ("🌅", "🌇"),
                "city": ("🏙",),
                "desert": ("🏜",),
                "sea": ("🌊",),
            }
        ),
    }
)
"""Kind -> name -> its emoji."""
