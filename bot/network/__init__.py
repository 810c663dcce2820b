"""HTTP helpers for every chat: proxies, limits against floods, image downloads."""
