from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from inference.opensora import checkpoint  # noqa: E402
from inference.opensora.networks import winograd  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402 - needs torch

pytestmark = pytest.mark.model

TOLERANCE = 1e-4


@pytest.mark.parametrize(("folder", "case"), vectors.cases("vae13"))
def test_encoding_equals_the_original(folder, case):
    given = vectors.tensors(folder, "vae13", case["case"])
    model = vectors.vae(folder)

    posterior = model.moments(given["in/x"])

    moments = torch.cat(posterior, dim=1)
    torch.testing.assert_close(moments, given["moments"], rtol=0, atol=TOLERANCE)
    mean = model.encode(given["in/x"])
    torch.testing.assert_close(mean, given["z_mode"], rtol=0, atol=TOLERANCE)
    deviation = torch.exp(0.5 * posterior.log_variance.clamp(-30, 20))
    _, scale = model._statistics()
    sample = mean + deviation * given["in/eps"] / scale  # the original takes one, we the mean
    torch.testing.assert_close(sample, given["z_sample"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("folder", "case"), vectors.cases("vae13"))
def test_decoding_equals_the_original(folder, case):
    given = vectors.tensors(folder, "vae13", case["case"])
    model = vectors.vae(folder)

    pixels = model.decode(given["in/z_dec"])

    torch.testing.assert_close(pixels, given["dec"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("folder", "case"), vectors.cases("vae13"))
def test_the_fast_convolutions_of_a_cpu_equal_the_original_too(folder, case):
    given = vectors.tensors(folder, "vae13", case["case"])
    model = vectors.vae(folder)
    winograd.prepare(model)

    with torch.inference_mode():
        pixels = model.decode(given["in/z_dec"])
        moments = torch.cat(model.moments(given["in/x"]), dim=1)

    torch.testing.assert_close(pixels, given["dec"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(moments, given["moments"], rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def nano_vae():
    """The shipped VAE, joining chunks as the original does."""
    vae = checkpoint.load_vae(vectors.NANO / "vae")
    vae.config = replace(vae.config, border_fade=0)
    return vae


def waves(*shape):
    """Smooth values in -1..1 that need no random generator."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64) * 0.37).float().view(shape)


def test_nano_still_encodes_and_decodes_as_recorded(nano_vae):
    """The record was made by this code while it agreed with the original's vectors.

    The weights of the vectors are too large to be copied; this guards the same code where they
    are absent.
    """
    from safetensors.torch import load_file

    recorded = load_file(vectors.COPIED / "nano_vae.safetensors")

    encoded = nano_vae.encode(waves(1, 3, 33, 16, 24))
    decoded = nano_vae.decode(waves(1, 16, 10, 2, 3))

    torch.testing.assert_close(encoded, recorded["encoded"], rtol=0, atol=1e-3)
    torch.testing.assert_close(decoded[:, :, ::11], recorded["decoded"], rtol=0, atol=1e-3)


def test_chunks_come_as_they_become_final(nano_vae):
    latents = waves(1, 16, 15, 2, 2)

    chunks = list(nano_vae.decode_chunks(latents))

    assert [chunk.shape[2] for chunk in chunks] == [16, 16, 16, 1]
    assert [chunk.shape[2] for chunk in nano_vae.decode_chunks(latents[:, :, :1])] == [1]
    # the first chunk does not wait for what follows, except in the frame it shares
    alone = nano_vae.decode(latents[:, :, :5])
    torch.testing.assert_close(chunks[0], alone[:, :, :16], rtol=0, atol=1e-5)


def test_a_step_between_chunks_can_be_spread_over_their_frames(nano_vae):
    latents = waves(1, 16, 10, 2, 2)
    plain = nano_vae.decode(latents)
    faded_vae = checkpoint.load_vae(vectors.NANO / "vae")
    faded_vae.config = replace(faded_vae.config, border_fade=3)

    chunks = list(faded_vae.decode_chunks(latents))

    assert [chunk.shape[2] for chunk in chunks] == [13, 16, 4]
    faded = torch.cat(chunks, 2)
    alone = [nano_vae.decode(part) for part in (latents[:, :, :5], latents[:, :, 5:])]
    step = (alone[1][:, :, :1] - alone[0][:, :, -1:]) / 2
    whole = torch.cat((alone[0], alone[1][:, :, 1:]), 2)
    shares = torch.zeros(33)
    shares[13:20] = torch.tensor([0.25, 0.5, 0.75, 1, -0.75, -0.5, -0.25])
    torch.testing.assert_close(faded, whole + step * shares.view(-1, 1, 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(faded[:, :, 16], plain[:, :, 16], rtol=0, atol=1e-4)


def test_the_attention_is_causal_token_by_token(nano_vae):
    attention = nano_vae.decoder.mid.attn_1
    x = waves(1, 96, 2, 3, 3)

    query, key, value = (
        project(attention.norm(x)).flatten(2).transpose(1, 2)
        for project in (attention.q, attention.k, attention.v)
    )
    scores = query @ key.transpose(1, 2) / 96**0.5
    scores = scores.masked_fill(torch.ones(18, 18).triu(1).bool(), float("-inf"))
    found = (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape)

    torch.testing.assert_close(attention(x), x + attention.proj_out(found), rtol=0, atol=1e-5)


def test_the_attention_never_builds_its_matrix(nano_vae):
    """Only the fused kernel is allowed here; at 720p any other would need 20 GB for one layer."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        nano_vae.decode(waves(1, 16, 5, 2, 3))
        nano_vae.encode(waves(1, 3, 17, 16, 16))


@pytest.mark.parametrize("frames", [2, 16, 18])
def test_a_clip_of_another_length_is_refused(nano_vae, frames):
    with pytest.raises(ValueError, match="16n"):
        nano_vae.encode(waves(1, 3, frames, 16, 16))
