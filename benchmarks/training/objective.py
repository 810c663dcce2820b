"""Training objective, and caption gaps, a cheap measure of how well captions are followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training.batches import Batch, token_ids
from benchmarks.training.latents import Shard
from benchmarks.training.world.captions import Caption, contradicted, plain
from inference.opensora.networks.transformer import STDiT3
from inference.opensora.text import TextEncoder

ATTRIBUTES = ("thing", "colour", "place", "move", "motion", "camera")
"""Fields of a scene whose caption gap is measured."""

_GAP_LEVELS = (0.99, 0.96, 0.85)


def encode_padded(encoder: TextEncoder, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Encode captions with gradients.

    Returns:
        Embeddings, [B, tokens, caption_channels], and which are not padding, [B, tokens] bool.
    """
    device = encoder.model.device
    rows = [torch.tensor(row, device=device) for row in tokens]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    present = torch.arange(ids.shape[1], device=device) < lengths[:, None]
    states = encoder.model(input_ids=ids, attention_mask=present.long()).last_hidden_state
    return states, present


def encode_tokens(encoder: TextEncoder, tokens: Sequence[Sequence[int]]) -> list[Tensor]:
    """Encode captions with gradients, without padding: [tokens, caption_channels] each."""
    states, _ = encode_padded(encoder, tokens)
    return [state[: len(row)] for state, row in zip(states, tokens, strict=True)]


def velocity_loss(model: STDiT3, encoder: TextEncoder, batch: Batch) -> Tensor:
    """Return each sample's mean squared error of the velocity, [B]."""
    captions = encode_tokens(encoder, batch.tokens)
    empty = [model.null_caption[: len(caption)].to(caption) for caption in captions]
    seen = [
        nothing if dropped else caption
        for caption, nothing, dropped in zip(captions, empty, batch.dropped, strict=True)
    ]
    references = batch.references
    mask: Tensor | None = None
    if references is not None:
        mask = torch.zeros_like(references)
        mask[:, :, list(batch.given)] = 1
    conditions = model.prepare(
        batch.noisy.shape,
        seen,
        fps=torch.tensor([float(batch.shape.fps)]),
        size=batch.shape.size,
        cond=references,
        cond_mask=mask,
        mask_index=None if references is None else batch.given,
        empty_captions=empty,
    )
    predicted = model.denoise(batch.noisy, batch.level * 1000, conditions)
    velocity = predicted[:, : model.config.in_channels]  # the other half is sigma, unused
    errors = functional.mse_loss(velocity, batch.target.to(velocity), reduction="none")
    if batch.weights is not None:
        errors = errors * batch.weights.to(errors)
    return errors.flatten(1).mean(1)


@torch.no_grad()
def caption_gaps(
    model: STDiT3, encoder: TextEncoder, pool: Sequence[Shard], *, seed: int = 0
) -> dict[str, float]:
    """Measure by how much a wrong caption increases the loss, per attribute.

    The loss of the same noisy latents is compared for the plain caption and one with a single wrong
    attribute. It needs no sampling; a model that ignores an attribute has a gap of zero.

    Returns:
        Relative increase of the loss, without attributes that no clip of the pool has.
    """
    random = torch.Generator().manual_seed(seed)
    known: dict[Caption, tuple[int, ...]] = {}
    right: dict[str, float] = dict.fromkeys(ATTRIBUTES, 0.0)
    wrong = dict(right)
    for shard in pool:
        said = [token_ids(plain(scene), encoder, known) for scene in shard.scenes]
        for batch in _judged(shard, said, random):
            losses = velocity_loss(model, encoder, batch)
            for attribute in ATTRIBUTES:
                others = [contradicted(scene, attribute) for scene in shard.scenes]
                rows = [row for row, other in enumerate(others) if other is not None]
                if not rows:
                    continue
                tokens = tuple(
                    token_ids(plain(other), encoder, known) for other in others if other is not None
                )
                right[attribute] += float(losses[rows].sum())
                judged = velocity_loss(model, encoder, _rows(batch, rows, tokens))
                wrong[attribute] += float(judged.sum())
    return {name: wrong[name] / total - 1 for name, total in right.items() if total}


def _judged(
    shard: Shard, tokens: Sequence[tuple[int, ...]], random: torch.Generator
) -> Iterator[Batch]:
    data = shard.latents.float()
    for share in _GAP_LEVELS:
        noise = torch.randn(data.shape, generator=random)
        yield Batch(
            shape=shard.shape,
            noisy=(1 - share) * data + share * noise,
            target=data - noise,
            level=torch.full((len(data),), share),
            tokens=tuple(tokens),
            dropped=torch.zeros(len(data), dtype=torch.bool),
        )


def _rows(batch: Batch, rows: list[int], tokens: tuple[tuple[int, ...], ...]) -> Batch:
    return Batch(
        shape=batch.shape,
        noisy=batch.noisy[rows],
        target=batch.target[rows],
        level=batch.level[rows],
        tokens=tokens,
        dropped=batch.dropped[rows],
    )
