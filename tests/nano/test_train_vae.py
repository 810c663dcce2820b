"""The VAE's training runs, and what it writes is a VAE that the product loads."""

from itertools import islice
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from benchmarks.training.reader import LinearReader  # noqa: E402
from benchmarks.training.train_vae import clips, decibels, fit_decoder, fit_encoder, quality, save  # noqa: E402
from inference.opensora.checkpoint import load_vae  # noqa: E402

pytestmark = pytest.mark.model

VAE = Path(__file__).parents[2] / "inference/weights/nano/vae"


def drawn(count, *, frames=17):
    return list(islice(clips(np.random.default_rng(1), frames=frames, count=1), count))


def test_what_is_linear_in_the_latents_is_read_without_error():
    def shrunk(clip):
        """Mean colours of the first frame, and of four frames each."""
        first, rest = clip[:, :, :1], clip[:, :, 1:]
        later = torch.nn.functional.avg_pool3d(rest, (4, 8, 8))
        return torch.cat((torch.nn.functional.avg_pool3d(first, (1, 8, 8)), later), 2)

    coarse = (torch.nn.functional.interpolate(shrunk(clip), clip.shape[2:]) for clip in drawn(3))
    still = [clip[:, :, :1].expand(clip.shape) for clip in coarse]
    reader = LinearReader(3)
    reader.solve((shrunk(clip), clip) for clip in still)
    for clip in still:
        read = reader(shrunk(clip)).detach()
        assert read.shape == clip.shape
        assert decibels(read - clip) > 30


def test_shorter_clips_are_pieces_of_whole_ones():
    for clip in drawn(4, frames=5):
        assert clip.shape[:3] == (1, 3, 5)
        assert -1 <= clip.min() < clip.max() <= 1


@pytest.mark.slow
def test_a_fitted_encoder_gives_uncorrelated_latents_of_the_variance_its_config_says():
    vae = load_vae(VAE)
    lines = []
    vae.config = fit_encoder(vae, steps=1, seed=3, report=lines.append, examples=2)

    sample = clips(np.random.default_rng(3), frames=17, count=3)
    seen = list(islice(sample, 5))[3:]  # what the latents were arranged by
    rows = torch.cat([vae.encode(clip).movedim(1, -1).flatten(0, -2) for clip in seen])

    assert vae.config.latent_mean == (0.0,) * 16
    wanted = 1 / torch.tensor(vae.config.latent_std)
    torch.testing.assert_close(rows.std(0), wanted, rtol=0.01, atol=0)
    assert list(wanted) == sorted(wanted, reverse=True)
    correlation = torch.corrcoef(rows.T) - torch.eye(16)
    assert correlation.abs().max() < 0.01


@pytest.mark.slow
def test_a_fitted_decoder_is_written_as_a_vae_that_loads(tmp_path):
    vae = load_vae(VAE)
    before = vae.decoder.conv_in.conv.weight.clone()
    assert list(fit_decoder(vae, steps=2, seed=0, report=print)) == [1, 2]
    assert list(fit_decoder(vae, steps=2, seed=0, report=print, done=1)) == [2]
    save(vae, VAE, tmp_path)

    again = load_vae(tmp_path)
    assert again.config == vae.config
    kernel = again.decoder.conv_in.conv.weight
    assert torch.equal(kernel, vae.decoder.conv_in.conv.weight)
    assert 0 < (kernel - before).abs().max() < 0.01
    assert torch.equal(again.encoder.conv_in.conv.weight, load_vae(VAE).encoder.conv_in.conv.weight)


@pytest.mark.slow
def test_the_shipped_vae_keeps_drawn_clips():
    assert quality(load_vae(VAE), count=6) > 28
