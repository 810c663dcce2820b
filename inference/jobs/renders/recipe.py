"""Recipe: the settings written into a finished file, so that it can be made again."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from inference.domain.job import Job

PRIVATE = ("image", "last", "latents", "refine")
"""Members of the spec that mean nothing outside: local files, a wish already carried out."""

WORDS = ("prompt", "original", "negative")
"""Members of the spec that a guild may keep to itself."""


def recipe(job: Job) -> dict[str, Any]:
    """Return the JSON recipe of a job, without its prompt where the guild hides that."""
    hidden = PRIVATE if job.output.prompt_in_recipe else (*PRIVATE, *WORDS)
    spec = {name: value for name, value in job.spec.as_dict().items() if name not in hidden}
    for effect in spec["effects"]:
        effect["with_pictures"] = sorted(effect.pop("pictures"))  # that there were some, not where
    return {
        "software": f"Rushes {version('rushes')}",
        "job": job.id,
        "mode": job.spec.mode.value,
        **spec,
    }
