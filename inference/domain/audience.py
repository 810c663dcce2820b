"""Audience of a job: who may see it besides its requester."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Channel of a job, and whether only its members may see the job.

    What a platform does not say is taken to be private, so that a mistake hides and never shows.
    """

    channel: str = ""
    """Id of the channel, conversation or private thread; empty where it is not known."""
    private: bool = True
    """Whether it is for the people in that channel only; otherwise for the whole tenant."""
