"""What a network is given before its training does what it says, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import T5Config, T5EncoderModel  # noqa: E402

from benchmarks.training.batches import Batches  # noqa: E402
from benchmarks.training.latents import ClipShape, encode_scenes  # noqa: E402
from benchmarks.training.objective import velocity_loss  # noqa: E402
from benchmarks.training.start import (  # noqa: E402
    install_clock,
    turn_up_captions,
    watch_neighbours,
)
from benchmarks.training.world.captions import draw_scene  # noqa: E402
from inference.opensora.checkpoint import load_text_encoder, load_transformer, load_vae  # noqa: E402
from inference.opensora.geometry import PixelSize  # noqa: E402
from inference.opensora.networks.transformer import STDiT3  # noqa: E402
from inference.opensora.text import TextEncoder  # noqa: E402

pytestmark = pytest.mark.model

WEIGHTS = Path(__file__).parents[2] / "inference/weights/nano"


def test_frames_of_noise_are_told_apart_by_their_time():
    random = np.random.default_rng(0)
    shape = ClipShape(size=PixelSize(32, 48), frames=17, fps=8)
    scenes = [draw_scene(random) for _ in range(4)]
    shard = encode_scenes(load_vae(WEIGHTS / "vae"), scenes, shape, random)
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    chance = torch.Generator().manual_seed(0)
    stream = Batches([shard], encoder, tokens=240, image_share=0, thing_weight=1, random=chance)
    batches = [replace(stream.draw(), references=None, given=()) for _ in range(3)]
    torch.manual_seed(0)
    model = STDiT3(load_transformer(WEIGHTS / "transformer").config)

    def hands():
        """What the clock would write, of each frame of clips of pure noise."""
        seen = []
        block = model.temporal_blocks[0]
        hook = block.attn.register_forward_hook(lambda _module, _inputs, out: seen.extend(out))
        noise = [
            replace(batch, noisy=torch.randn_like(batch.noisy), level=torch.ones_like(batch.level))
            for batch in batches
        ]
        with torch.no_grad():
            for batch in noise:
                velocity_loss(model, encoder, batch)
        hook.remove()
        way = torch.nn.functional.normalize(block.attn.proj.weight[:, 0], dim=0)
        # one region: the tokens stand clip by clip and frame by frame
        frames = noise[0].noisy.shape[2]
        return torch.cat(
            [(out @ way).reshape(len(noise[0].noisy), frames, -1).mean(2) for out in seen]
        ).mean(0)

    before = hands()
    install_clock(model, encoder, batches)
    after = hands()

    assert list(after) == sorted(after, reverse=True)
    assert after[0] - after[-1] > 10 * (before.max() - before.min())


def test_louder_captions_change_no_answer():
    model = load_transformer(WEIGHTS / "transformer")
    noisy = torch.randn(1, 16, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    caption = encoder.encode("a red ball in the snow").tokens.float()
    level, asked = torch.tensor([900.0]), {"fps": torch.tensor([24.0]), "size": PixelSize(32, 48)}

    def answer(caption):
        return model.denoise(noisy, level, model.prepare(noisy.shape, [caption], **asked))

    with torch.inference_mode():
        before = answer(caption)
        turn_up_captions(model, 20)
        after = answer(caption)
        other = answer(2 * caption)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)
    assert not torch.allclose(other, after, atol=1e-4)


def test_heads_of_the_text_encoder_look_at_the_words_beside_a_word():
    torch.manual_seed(0)
    config = T5Config(vocab_size=50, d_model=48, d_kv=8, d_ff=32, num_heads=6, num_layers=1)
    model = T5EncoderModel(config).eval()
    attention = model.encoder.block[0].layer[0].SelfAttention
    torch.nn.init.normal_(attention.q.weight, std=0.3)
    torch.nn.init.normal_(attention.k.weight, std=0.3)
    model.set_attn_implementation("eager")
    words = torch.arange(2, 42)[None]

    def beside():
        """How much of each head's attention goes to the words before and after, on average."""
        with torch.inference_mode():
            weights = model(input_ids=words, output_attentions=True).attentions[0][0]
        return [
            weights[head].diagonal(offset).mean().item()
            for head, offset in enumerate((-1, -2, 1, 2))
        ]

    assert max(beside()) < 0.2
    watch_neighbours(TextEncoder(model, tokenizer=None))
    assert min(beside()) > 0.9
