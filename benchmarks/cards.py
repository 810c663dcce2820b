"""Draws pictures of every state of a card, from the payloads that are sent to each chat.

    python -m benchmarks.cards [--out docs/cards] [--browser chromium] [--clip CLIP.mp4]

Payloads of `bot.discord.outbound.render` and `bot.slack.outbound.blocks` are laid out in HTML as by
the chats' clients; the terminal's are drawn by rich. A headless Chromium takes screenshots: dark,
light, and as wide as a phone. Inspect them after a change of cards.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import MONOKAI

from benchmarks.card_html import SHOTS, Shown, discord_page, slack_page, terminal_page
from bot.discord.outbound import render
from bot.slack.outbound import blocks
from bot.terminal.render import CardView
from commands.text import batch_cards, cards, job_buttons, replies, summary
from commands.text.card import Card, CardKind
from commands.text.cards import JobStatus
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.job import DRAFT, Failure, Job, JobState
from inference.domain.render import Manifest, Progress, Stage
from inference.domain.spec import Resolution
from inference.domain.verdict import Outcome, Reason, Verdict
from inference.engines.registry import Models
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueuePosition
from inference.media.stills import write_numbered
from tests.fakes.orders import a_job, a_spec

ROOT = Path(__file__).parent.parent
STILL = ROOT / "docs" / "cards" / "still.jpg"
"""From nano's clip of the prompt, with the seed of the cards; `--clip` takes it from another."""
PROMPT = "a red ball rolling through the snow"
LONG = "a blue star zooming across the night sky over a village 👨‍👩‍👧‍👦 " * 4
NOW = 1_790_000_000.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--hide-scrollbars", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)
HEIGHT = 7000
"""Height of a screenshot in pixels, before the empty part is cropped."""
COLOURS = 256
"""Palette size of saved pictures, which saves two thirds of the bytes."""
COLUMNS = 66
"""Width of the terminal."""
FIRST_PAGE = {
    "rendering": f"You type /generate {PROMPT}",
    "done": "The same message, 47 seconds later",
}
"""States that the README shows for Discord, dark and light, with their captions."""


LOADING = Progress(stage=Stage.LOADING, done=40, total=100)
FROM_DRAFT = {"image": DRAFT, "seed": DRAFT}


def outlook(fraction: float, seconds: float) -> Outlook:
    """Return the outlook of a running job."""
    return Outlook(fraction=fraction, seconds_left=seconds)


def states() -> Iterator[tuple[str, Card, Job]]:
    """Yield every card of single jobs, with its name and job."""
    nano = Models().capabilities("nano")
    manifest = Manifest(
        name="clip.mp4", size=1, sha256="", width=640, height=360, frames=49, latents_sha256="0"
    )
    job = a_job(
        id="7Q2FK9XDAB",
        spec=a_spec(prompt=PROMPT, model="nano", seed=48151623),
        created_at=NOW,
        started_at=NOW + 12,
        platform="discord",
    )
    image = replace(job, spec=a_spec(prompt=PROMPT, model="nano", frames=1, seed=11235))
    refined = replace(job.spec, prompt=f"{PROMPT}, soft light, a wide shot", original=PROMPT)

    def status(name: str, state: JobState, of: Job = job, **changes: Any) -> tuple[str, Card, Job]:
        changed = replace(of, state=state)
        card = cards.status(changed, JobStatus(now=NOW, **changes), "en", nano)
        return name, card, changed

    queued = QueuePosition(position=2, start_in=62, ready_in=1120)
    yield status("preparing", JobState.PREPARING)
    yield status("waiting for approval", JobState.REVIEW, replace(job, spec=refined))
    yield status("in queue", JobState.QUEUED, queued=queued)
    yield status(
        "a long prompt", JobState.QUEUED, replace(job, spec=replace(job.spec, prompt=LONG))
    )
    yield status("paused", JobState.QUEUED, paused=True)
    yield status("loading", JobState.RUNNING, progress=LOADING, outlook=outlook(0.1, 48))
    step = Progress(stage=Stage.RENDERING, done=18, total=30)
    yield status("rendering", JobState.RUNNING, progress=step, outlook=outlook(0.45, 26))
    asked = replace(job, cancel_requested_at=NOW)
    yield status("cancelling", JobState.RUNNING, asked, progress=step)
    decoding = Progress(stage=Stage.FINISHING, done=17, total=97)
    yield status("decoding", JobState.RUNNING, progress=decoding, outlook=outlook(0.7, 14))
    yield status("finishing", JobState.FINISHING, outlook=outlook(0.94, 3))
    yield status("posting", JobState.DELIVERING, outlook=outlook(0.97, 1))
    done = replace(job, state=JobState.DONE, manifest=manifest, ended_at=NOW + 47)
    yield status("done", JobState.DONE, done)
    yield status(
        "a draft is done", JobState.DONE, replace(done, spec=replace(done.spec, draft=True))
    )
    yield status("a finished draft", JobState.DONE, replace(done, origins=FROM_DRAFT))
    yield "the clip", cards.clip(done, Path("clip.mp4"), "en", nano), done
    still = replace(manifest, latents_sha256=None)
    drawn = replace(image, state=JobState.DONE, manifest=still, ended_at=NOW + 39)
    yield status("an image is done", JobState.DONE, drawn)
    flagged = replace(done, verdict=Verdict(outcome=Outcome.SPOILER, reasons=(Reason.VIOLENCE,)))
    yield status("done, covered", JobState.DONE, flagged)
    yield "a covered clip", cards.clip(flagged, Path("clip.mp4"), "en", nano), flagged
    yield status("deleted", JobState.DONE, replace(done, removed_at=NOW + 60))
    failed = replace(job, failure=Failure(code="worker.out_of_memory"), state=JobState.FAILED)
    yield status("failed", JobState.FAILED, failed)
    yield "told of a failure", cards.failure(failed, "en"), failed
    refusal = Failure(code="safety.prompt", params={"reason": Reason.VIOLENCE})
    yield status("refused", JobState.REFUSED, replace(job, failure=refusal))
    yield status("cancelled", JobState.CANCELLED)
    yield status("expired", JobState.EXPIRED)
    yield "before deleting", job_buttons.confirmation(job.id, "en"), job
    wrong = UserError("job.unknown", job="7Q2FK9XDAC")
    yield "an error", replies.error(wrong, "en"), job
    korean = cards.status(
        replace(job, state=JobState.QUEUED), JobStatus(now=NOW, queued=queued), "ko"
    )
    yield "한국어", korean, job
    small = replace(done, spec=replace(done.spec, resolution=Resolution.P360))
    yield "완성된 클립", cards.clip(small, Path("clip.mp4"), "ko", nano), small


def several() -> Iterator[tuple[str, Card, Job]]:
    """Yield the cards of batches, with their names and first jobs."""
    nano = Models().capabilities("nano")
    manifest = Manifest(
        name="clip.mp4", size=1, sha256="", width=640, height=360, frames=49, latents_sha256="0"
    )

    def asked(*states: JobState, frames: int = 49) -> list[Job]:
        return [
            a_job(
                id=f"7Q2FK9XDA{number}",
                batch="7Q2FK9XDA1",
                number=number,
                state=state,
                spec=a_spec(prompt=PROMPT, model="nano", seed=48151622 + number, frames=frames),
                created_at=NOW,
                started_at=NOW + 12,
                ended_at=NOW + 31 + 20 * number,
                manifest=manifest,
            )
            for number, state in enumerate(states, start=1)
        ]

    def card(jobs: list[Job], *statuses: JobStatus) -> tuple[Card, Job]:
        known = statuses or [JobStatus(now=NOW)] * len(jobs)
        return batch_cards.batch(jobs, known, "en", nano), jobs[0]

    ahead = [QueuePosition(position=n, start_in=40 * n, ready_in=40 * n + 40) for n in range(1, 4)]
    waiting = [JobStatus(now=NOW, queued=place) for place in ahead]
    yield "four in queue", *card(asked(*[JobState.QUEUED] * 4), *waiting, waiting[-1])
    step = Progress(stage=Stage.RENDERING, done=18, total=30)
    now = JobStatus(now=NOW, progress=step, outlook=outlook(0.45, 26))
    under_way = asked(JobState.DONE, JobState.RUNNING, JobState.QUEUED)
    yield "one of three", *card(under_way, JobStatus(now=NOW), now, waiting[0])
    yield "three clips", *card(asked(*[JobState.DONE] * 3))
    mixed = asked(JobState.DONE, JobState.FAILED, JobState.CANCELLED)
    mixed[1] = replace(mixed[1], failure=Failure(code="worker.out_of_memory"))
    yield "one of three was made", *card(mixed)
    drafts = asked(JobState.DONE, JobState.DONE)
    yield "two drafts", *card([replace(j, spec=replace(j.spec, draft=True)) for j in drafts])
    drawn = replace(manifest, latents_sha256=None)
    stills = [replace(each, manifest=drawn) for each in asked(*[JobState.DONE] * 4, frames=1)]
    yield "four images", *card(stills)
    yield "their sheet", batch_cards.sheet(stills, Path("sheet.jpg"), "en"), stills[0]


SHEETS = frozenset({"three clips", "four images", "their sheet"})
"""Cards whose picture is a sheet."""


UNSEEN = frozenset({"loading"})
"""Cards of running jobs of which there is no preview yet."""


def discord_payload(name: str, card: Card, job: Job) -> dict[str, Any]:
    """Return the payload for Discord."""
    links, picture = [], None
    if card.kind is CardKind.DONE:
        url = "https://discord.com/channels/1/2/3"
        links.append(render.Link(url=url, label=_label(job), markup="→ <#2>"))
    if card.kind is CardKind.DONE or (card.progress is not None and name not in UNSEEN):
        hidden = job.verdict.outcome is Outcome.SPOILER
        described = summary.description(job, "en")
        picture = render.Picture(description=described, spoiler=hidden)
    style = render.CardStyle.TEXT if card.attachment is not None else None
    drawn = render.message(card, style=style, links=links, picture=picture)
    return {
        "content": drawn.content,
        "embeds": [embed.to_dict() for embed in drawn.embeds],
        "components": drawn.view.to_components() if drawn.view else [],
        "file": card.attachment and {"spoiler": card.attachment.spoiler},
        "private": card.private,
    }


def slack_payloads(name: str, card: Card, job: Job) -> Iterator[Shown]:
    """Yield what is posted on Slack; what is covered is a file in direct messages, and a link."""
    if card.attachment is None or not card.attachment.spoiler:
        yield Shown(name, slack_payload(card, job))
        return
    comment = blocks.comment(replace(card, ping=False))
    alone = {"file": card.attachment.description, "comment": comment, "blocks": []}
    yield Shown(f"{name}: in direct messages", alone)
    link = blocks.Link("https://team.slack.com/archives/D1/p2", card.attachment.name)
    yield Shown(
        f"{name}: where it was asked for", {"blocks": blocks.message(card, links=[link]).blocks}
    )


def slack_payload(card: Card, job: Job) -> dict[str, Any]:
    """Return the payload for Slack: a file with its comment, and the blocks below it."""
    if card.attachment is not None:
        below = blocks.controls(card).blocks
        title = card.attachment.description
        return {"file": title, "comment": blocks.comment(card), "blocks": below}
    links, picture = [], None
    if card.kind is CardKind.DONE:
        links.append(blocks.Link("https://team.slack.com/archives/C1/p2", _label(job)))
        if job.spec.frames == 1:
            picture = blocks.Picture("F1", summary.description(job, "en"))
    return {"blocks": blocks.message(card, links=links, picture=picture).blocks}


def _label(job: Job) -> str:
    return text("button.open_image" if job.spec.frames == 1 else "button.open_clip", "en")


def terminal_html(card: Card) -> str:
    """Return the terminal's output as HTML, exported by rich."""
    console = Console(
        record=True,
        width=COLUMNS,
        force_terminal=True,
        file=io.StringIO(),
        color_system="truecolor",
    )
    console.print(CardView(card, zone=UTC, number=1))
    return console.export_html(theme=MONOKAI, inline_styles=True, code_format="<pre>{code}</pre>")


def still() -> str:
    """Return a still of a real clip as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(STILL.read_bytes()).decode()}"


def sheet(count: int) -> str:
    """Return a sheet with stills of a clip as a data URL."""
    with tempfile.TemporaryDirectory() as folder:
        write_numbered(dict.fromkeys(range(1, count + 1), STILL), Path(folder, "sheet.jpg"))
        data = Path(folder, "sheet.jpg").read_bytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def keep_still(clip: Path) -> None:
    """Keep the middle frame of a clip as the still, in its own size: its mark has to be legible."""
    with av.open(str(clip)) as opened:
        frames = list(opened.decode(video=0))
    frames[len(frames) // 2].to_image().save(STILL, "JPEG", quality=88)


def photograph(browser: str, page: str, width: int, target: Path) -> None:
    """Take a browser's screenshot of a page, and crop the empty space at the bottom."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder, "page.html"), Path(folder, "shot.png")
        source.write_text(page, encoding="utf-8")
        subprocess.run(  # noqa: S603 - the browser given by the user
            [
                *(browser, *FLAGS, f"--user-data-dir={folder}/profile"),
                *(f"--window-size={width},{HEIGHT}", f"--screenshot={shot}", source.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        with Image.open(shot) as picture:
            drawn = picture.convert("RGB")
    empty = Image.new("RGB", drawn.size, drawn.getpixel((0, drawn.height - 1)))
    _, _, _, bottom = ImageChops.difference(drawn, empty).getbbox() or (0, 0, 0, drawn.height)
    kept = drawn.crop((0, 0, width, min(drawn.height, bottom + 16)))
    kept.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


async def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "cards")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--clip", type=Path, help="take the still from this clip first")
    wanted = parser.parse_args()
    if wanted.clip is not None:
        keep_still(wanted.clip)
    wanted.out.mkdir(parents=True, exist_ok=True)
    every = [*states(), *several()]
    picture = still()
    chats = {
        "discord": (discord_page, [Shown(n, discord_payload(n, c, j)) for n, c, j in every]),
        "slack": (slack_page, [s for n, c, j in every for s in slack_payloads(n, c, j)]),
        "terminal": (
            terminal_page,
            [Shown(name, {"html": terminal_html(c)}) for name, c, _ in every],
        ),
    }
    for _, drawn in chats.values():
        for name, payload in drawn:
            if name in SHEETS:
                payload["picture"] = sheet(3 if name == "three clips" else 4)
    by_name = {shown.name: shown for shown in chats["discord"][1]}
    chats["readme"] = (
        discord_page,
        [Shown(told, by_name[name].payload) for name, told in FIRST_PAGE.items()],
    )
    for chat, (page, shown) in chats.items():
        for shot in SHOTS[chat]:
            target = wanted.out / f"{chat}-{shot.name}.png"
            html = page(shown, shot, picture)
            await asyncio.to_thread(photograph, wanted.browser, html, shot.width, target)
            print(target, target.stat().st_size // 1024, "kB")


if __name__ == "__main__":
    asyncio.run(main())
