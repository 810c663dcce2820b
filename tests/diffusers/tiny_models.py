"""Tiny video models of the real classes, saved as folders: random weights, no downloads.

Each builder returns a pipeline. `saved` writes one where `DiffusionPipeline.save_pretrained` would,
part by part. Tokenizers know single characters only, so a prompt has as many tokens as letters.
"""

from __future__ import annotations

import string
from types import MappingProxyType

import diffusers
import torch
import transformers
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from tokenizers.pre_tokenizers import ByteLevel

CHARACTERS = string.printable.split(" ")[0]
SMALL_T5 = {
    "vocab_size": 128,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 37,
    "num_layers": 2,
    "num_heads": 4,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
SMALL_QWEN = {
    "vocab_size": 512,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "rope_parameters": ROPE,
}


def t5_tokenizer():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return transformers.T5Tokenizer(
        vocab=[*pieces, *((letter, -3.0) for letter in CHARACTERS)], extra_ids=0
    )


def t5(kind=transformers.T5EncoderModel, config=transformers.T5Config, **changes):
    return kind(config(**SMALL_T5 | changes))


def umt5():
    return t5(transformers.UMT5EncoderModel, transformers.UMT5Config)


def clip():
    """CLIP's text half and its tokenizer."""
    pieces = ["<|startoftext|>", "<|endoftext|>", *CHARACTERS, *(f"{c}</w>" for c in CHARACTERS)]
    config = transformers.CLIPTextConfig(
        vocab_size=256,
        hidden_size=8,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
    )
    tokenizer = transformers.CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=[],
        model_max_length=77,
    )
    return transformers.CLIPTextModel(config), tokenizer


def qwen_tokenizer():
    """Stands in for the processors of Qwen-VL too, which need torchvision."""
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    return tokenizer


def flow_match(**values):
    return diffusers.FlowMatchEulerDiscreteScheduler(**values)


WAN_SHAPE = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 128,
}


def wan_transformer(**changes):
    return diffusers.WanTransformer3DModel(**WAN_SHAPE | changes)


def wan_parts(vae=None, **changes):
    return {
        "tokenizer": t5_tokenizer(),
        "text_encoder": umt5(),
        "vae": vae or wan_vae(),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "transformer": wan_transformer(**changes),
        "transformer_2": None,
    }


def wan_vae(**changes):
    values = {
        "base_dim": 3,
        "z_dim": 16,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    }
    return diffusers.AutoencoderKLWan(**values | changes)


def wan_5b():
    """TI2V-5B: text and image from the same weights; 16 x 16 pixels per latent."""
    vae = wan_vae(
        decoder_base_dim=3,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    )
    return diffusers.WanPipeline(**wan_parts(vae), expand_timesteps=True)


def wan_14b():
    """T2V-A14B: two experts."""
    parts = wan_parts() | {"transformer_2": wan_transformer()}
    return diffusers.WanPipeline(**parts, boundary_ratio=0.875)


def wan_14b_image():
    """I2V-A14B: noise, mask and image in 36 channels."""
    parts = wan_parts(in_channels=36) | {"transformer_2": wan_transformer(in_channels=36)}
    with torch.no_grad():  # a random encoder makes next to nothing of a picture
        parts["vae"].quant_conv.weight.mul_(1000)
    return diffusers.WanImageToVideoPipeline(
        **parts, image_encoder=None, image_processor=None, boundary_ratio=0.9
    )


def wan_vace():
    """VACE: reference pictures and 64 channels of masks beside the latents."""
    shape = {"num_layers": 2, "vace_layers": [0, 1], "vace_in_channels": 96}
    transformer = diffusers.WanVACETransformer3DModel(**WAN_SHAPE | shape)
    parts = wan_parts() | {"transformer": transformer}
    with torch.no_grad():  # random networks make next to nothing of a picture
        parts["vae"].quant_conv.weight.mul_(100)
        for block in transformer.blocks:
            block.attn1.to_out[0].weight.mul_(10)
        for block in transformer.vace_blocks:
            block.proj_out.weight.mul_(10)
    return diffusers.WanVACEPipeline(**parts)


def ltx():
    sides = {"block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    layers = {"layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5}
    scaling = (True, True, True, False)
    return diffusers.LTXPipeline(
        scheduler=flow_match(),
        vae=diffusers.AutoencoderKLLTXVideo(
            latent_channels=8,
            **sides,
            **layers,
            spatio_temporal_scaling=scaling,
            decoder_spatio_temporal_scaling=scaling,
            patch_size=4,
        ),
        text_encoder=t5(feed_forward_proj="gated-gelu"),
        tokenizer=t5_tokenizer(),
        transformer=diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=32,
            num_layers=2,
            caption_channels=32,
        ),
    )


def gemma3():
    text = transformers.Gemma3TextConfig(
        vocab_size=128,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=2048,
    )
    vision = transformers.SiglipVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=4,
        image_token_index=120,
        boi_token_index=121,
        eoi_token_index=122,
    )
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *CHARACTERS]
    tokenizer = transformers.GemmaTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]
    )
    return transformers.Gemma3ForConditionalGeneration(config), tokenizer


def ltx2():
    """LTX-2: pictures and sound at 16 kHz."""
    text_encoder, tokenizer = gemma3()
    heads = {
        f"{kind}_connector_{name}": value
        for kind in ("video", "audio")
        for name, value in {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 1,
            "num_learnable_registers": None,
        }.items()
    }
    return diffusers.LTX2Pipeline(
        scheduler=flow_match(),
        vae=diffusers.AutoencoderKLLTX2Video(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 4,
            upsample_residual=(False,) * 3,
            upsample_factor=(1,) * 3,
            spatial_compression_ratio=32,
            temporal_compression_ratio=8,
        ),
        audio_vae=diffusers.AutoencoderKLLTX2Audio(
            base_channels=4,
            ch_mult=(1, 1, 1),
            num_res_blocks=1,
            resolution=32,
            latent_channels=2,
            mel_bins=8,
        ),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        connectors=LTX2TextConnectors(
            caption_channels=16, text_proj_in_factor=3, **heads, rope_type="split"
        ),
        transformer=diffusers.LTX2VideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=4,
            audio_cross_attention_dim=8,
            num_layers=2,
            caption_channels=16,
            rope_type="split",
        ),
        vocoder=LTX2Vocoder(
            in_channels=16,
            hidden_channels=32,
            upsample_kernel_sizes=[4, 4],
            upsample_factors=[2, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3]],
            output_sampling_rate=16000,
        ),
    )


def small_hunyuan_vae():
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=4
    )


def kandinsky():
    """Kandinsky 6 with sound; its distilled scheduler draws four predictions per channel.

    Its own processor, Qwen2_5_VLProcessor, needs torchvision: a tokenizer stands in for it.
    """
    qwen = transformers.Qwen2_5_VLConfig(
        text_config=SMALL_QWEN | {"num_hidden_layers": 2},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "num_heads": 2,
            "intermediate_size": 16,
            "out_hidden_size": 16,
        },
    )
    text_encoder_2, tokenizer_2 = clip()
    return diffusers.Kandinsky6TI2VAPipeline(
        transformer=diffusers.Kandinsky6Transformer3DModel(
            in_visual_dim=4,
            out_visual_dim=16,
            in_text_dim=16,
            in_text_dim2=8,
            time_dim=16,
            model_dim=16,
            ff_dim=32,
            num_text_blocks=1,
            num_visual_blocks=2,
            axes_dims=(4, 2, 2),
            in_audio_dim=4,
            out_audio_dim=16,
            text_token_padding=True,
            ca_rope=True,
            cross_gates=True,
            fix_modulation=True,
            visual_token_type_num_embeddings=2,
        ),
        vae=small_hunyuan_vae(),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(qwen),
        tokenizer=qwen_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=tokenizer_2,
        scheduler=diffusers.PiflowScheduler(n_grid=4),
        audio_vae=diffusers.MMAudioVAE(
            mel_bins=8,
            latent_channels=4,
            hidden_channels=8,
            channel_multipliers=(1, 1),
            layers_per_block=1,
            n_fft=64,
            hop_length=16,
            sample_rate=8000,
        ),
        vocoder=diffusers.MMAudioVocoder(
            num_mels=8,
            upsample_initial_channel=16,
            upsample_rates=(4, 4),
            upsample_kernel_sizes=(8, 8),
            resblock_kernel_sizes=(3,),
            resblock_dilation_sizes=((1, 3, 5),),
        ),
    )


def hunyuan_15():
    """HunyuanVideo-1.5: no callback, and the guidance in a part of its own."""
    qwen = transformers.Qwen2_5_VLTextConfig(**SMALL_QWEN, num_hidden_layers=3)
    byte_t5 = t5(
        vocab_size=384,
        d_model=16,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return diffusers.HunyuanVideo15Pipeline(
        text_encoder=transformers.Qwen2_5_VLTextModel(qwen),
        tokenizer=qwen_tokenizer(),
        text_encoder_2=byte_t5,
        tokenizer_2=transformers.ByT5Tokenizer(),
        transformer=diffusers.HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            num_refiner_layers=1,
            text_embed_dim=16,
            text_embed_2_dim=16,
            image_embed_dim=16,
            rope_axes_dim=(2, 2, 4),
            target_size=16,
            task_type="t2v",
        ),
        vae=diffusers.AutoencoderKLHunyuanVideo15(
            latent_channels=4, block_out_channels=(16,) * 5, layers_per_block=1
        ),
        scheduler=flow_match(shift=7.0),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
    )


def cogvideox():
    return diffusers.CogVideoXPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(),
        vae=diffusers.AutoencoderKLCogVideoX(
            block_out_channels=(8,) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        transformer=diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=32,
            num_layers=2,
            sample_width=8,
            sample_height=8,
            sample_frames=9,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=226,
        ),
        scheduler=diffusers.CogVideoXDDIMScheduler(
            prediction_type="v_prediction",
            clip_sample=False,
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
        ),
    )


def mochi():
    return diffusers.MochiPipeline(
        scheduler=flow_match(invert_sigmas=True),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
        vae=diffusers.AutoencoderKLMochi(
            latent_channels=12,
            encoder_block_out_channels=(32,) * 4,
            decoder_block_out_channels=(32,) * 4,
            layers_per_block=(1,) * 5,
        ),
        transformer=diffusers.MochiTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            pooled_projection_dim=16,
            text_embed_dim=32,
            time_embed_dim=4,
            max_sequence_length=16,
        ),
    )


def hunyuan_15_image():
    """HunyuanVideo-1.5 for clips from images alone, with an encoder for them."""
    pipeline = hunyuan_15()
    pipeline.transformer.register_to_config(task_type="i2v")
    encoder = transformers.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        **pipeline.components,
        image_encoder=transformers.SiglipVisionModel(encoder),
        feature_extractor=transformers.SiglipImageProcessorPil(size={"height": 28, "width": 28}),
    )


def cogvideox_image():
    """CogVideoX for clips from images alone: it has the image beside the noise."""
    parts = cogvideox().components
    changes = {"in_channels": 8, "attention_head_dim": 16, "use_rotary_positional_embeddings": True}
    kind = diffusers.CogVideoXTransformer3DModel
    parts["transformer"] = kind.from_config(parts["transformer"].config, **changes)
    return diffusers.CogVideoXImageToVideoPipeline(**parts)


BUILDERS = {
    "wan-5b": wan_5b,
    "wan-14b": wan_14b,
    "wan-14b-image": wan_14b_image,
    "wan-vace": wan_vace,
    "ltx-video": ltx,
    "ltx2": ltx2,
    "kandinsky": kandinsky,
    "hunyuan-1.5": hunyuan_15,
    "cogvideox": cogvideox,
    "mochi": mochi,
}

IMAGE_BUILDERS = {"hunyuan-1.5": hunyuan_15_image, "cogvideox": cogvideox_image}
"""Those of families that have other weights for clips from images."""

SIDE = {"wan-5b": 32, "ltx-video": 64, "ltx2": 64}
"""Of the smallest clip of each; 16 for all others."""
FRAMES = {"mochi": 7, "hunyuan-1.5": 5}
"""Of a short clip of each; 9 for all others."""


def build(name, seed=0, builders=MappingProxyType(BUILDERS)):
    """Return a tiny pipeline, always the same one."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    pipeline = builders[name]()
    if name == "kandinsky":  # its gates start at zero, so that its blocks would do nothing
        for tensor in pipeline.transformer.parameters():
            if not tensor.any():
                torch.nn.init.normal_(tensor, std=0.2)
    torch.random.set_rng_state(state)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def saved(name, place):
    """Write a tiny model as a folder and return its path."""
    build(name).save_pretrained(place)
    return place
