"""Submission of a resolved request as a job."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from commands.context import Call
from commands.handlers import advice, job_status
from commands.options import COUNT
from commands.policy import flagged_content
from commands.policy.settings import (
    LANGUAGE,
    RECIPE_PROMPT,
    TIMEZONE,
    WATERMARK_CORNER,
    WATERMARK_IMAGES,
    WATERMARK_SUFFIX,
    Language,
    Rules,
)
from commands.refusal import Refusal
from commands.results import Accepted, AdvisedError
from commands.specs.layers import BUILT_IN
from commands.specs.resolve import Resolved
from commands.text.messages import language
from inference.domain.errors import UserError
from inference.domain.job import MEMORY, Order
from inference.domain.output_settings import OutputSettings
from inference.domain.reference import Attached
from inference.domain.spec import Spec
from inference.domain.watermark import Corner


async def place_order(
    call: Call, resolved: Resolved, rules: Rules, *, parent: str | None = None, review: bool = False
) -> Accepted:
    """Submit a resolved request as a job.

    Args:
        call: Who orders it, where.
        resolved: What is ordered.
        rules: That it was resolved under.
        parent: The job whose files it starts from.
        review: Whether the requester is asked before a refined prompt is rendered.

    Raises:
        UserError: `image.*`, `queue.*`, `quota.*` or `model.*`: it is not taken; an
            `AdvisedError` says what would be.
    """
    await _check_local_images(call, resolved.spec)
    asked, resolved = resolved, _fit_memory(call, resolved)
    quota = await call.quota(rules)
    order = Order(
        spec=resolved.spec,
        origins=resolved.origins,
        tenant=call.channel.tenant,
        requester=call.caller.requester,
        platform=call.channel.platform,
        address=call.channel.address,
        key=call.key,
        parent=parent,
        audience=call.channel.audience,
        person=call.person,
        output=_output_settings(rules, call),
        quota=quota,
        review=call.channel.asks and (review or resolved is not asked),
        count=resolved.count,
    )
    try:
        job = await call.jobs.submit(order)
    except UserError as error:
        if error.code == "queue.job_too_long":
            limit = error.params["limit"]
            shorter = advice.advise_within_job_limit(call, resolved, limit)
            raise (error if shorter is None else AdvisedError(error, shorter)) from error
        if error.code.endswith(".fits_fewer"):
            raise Refusal(error.code, {COUNT.name: error.params["fits"]}, **error.params) from error
        if quota is None or not error.code.startswith("quota."):
            raise
        used = await call.usage(quota.since, quota.person_since)
        fitting = advice.advise_within_quota(call, resolved, used.remaining(quota) or 0)
        raise AdvisedError(error, fitting) from error
    return Accepted(
        job=job,
        status=job_status.describe_state(job, call.jobs, call.clock),
        locale=_language(rules, call),
        together=() if job.batch is None else tuple(await call.jobs.together(job)),
    )


async def _check_local_images(call: Call, spec: Spec) -> None:
    """Refuse a file of this machine that is not there or is no picture, before there is a job.

    Raises:
        UserError: `image.*`.
    """
    folder = call.channel.local_folder
    if folder is None:
        return
    of_effects = (picture for use in spec.effects for picture in use.pictures.values())
    for reference in (spec.image, spec.last, *of_effects):
        if isinstance(reference, Attached):
            if call.check_picture is None:
                await asyncio.to_thread(_check_file, folder, reference.url)
            else:  # gives the reason, also for a missing file
                await call.check_picture(folder, reference.url)


def _check_file(folder: str, typed: str) -> None:
    path = Path(folder, os.path.expanduser(typed))  # noqa: PTH111 - pathlib raises where a home is unknown
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises for a name that is too long
        raise UserError("image.not_found", path=str(path))


def _fit_memory(call: Call, resolved: Resolved) -> Resolved:
    """Return the render, or the largest like it that the GPU has the memory for.

    Raises:
        UserError: It cannot be rendered, and nothing like it can.
    """
    try:
        call.installation.check(resolved.spec)
    except UserError as error:
        values = {"frames": error.params.get("longest"), "resolution": error.params.get("smaller")}
        changes = {name: value for name, value in values.items() if value is not None}
        # An extension keeps the size of its clip, and a change needs the requester's approval.
        bound = resolved.spec.latents is not None and "resolution" in changes
        if not changes or bound or not call.channel.asks:
            raise
        spec = replace(resolved.spec, **changes)
        origins = {**resolved.origins, **dict.fromkeys(changes, MEMORY)}
        return replace(resolved, spec=spec, origins=origins)
    return resolved


def _output_settings(rules: Rules, call: Call) -> OutputSettings:
    corner = rules.value(WATERMARK_CORNER)
    zone, zone_origin = rules.find_with_origin(TIMEZONE)
    return OutputSettings(
        corner=None if corner is None else Corner(corner),
        suffix=rules.value(WATERMARK_SUFFIX) or "",
        mark_images=rules.value(WATERMARK_IMAGES),
        prompt_in_recipe=rules.value(RECIPE_PROMPT),
        flagged=flagged_content.choose_outcome(rules, call.channel),
        language=_language(rules, call),
        zone=None if zone_origin == BUILT_IN else str(zone),
    )


def _language(rules: Rules, call: Call) -> str:
    wanted = Language(rules.value(LANGUAGE))
    return language(call.locale) if wanted is Language.AUTO else wanted.value
