"""Wan 2.1 and 2.2."""

from tests.diffusers.real_models.shared_parts import CLIP_H, UMT5_READER, UMT5_XXL

UNIPC = {
    "_class_name": "UniPCMultistepScheduler",
    "_diffusers_version": "0.35.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995,
    "final_sigmas_type": "zero",
    "flow_shift": 3.0,
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "predict_x0": True,
    "prediction_type": "flow_prediction",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_p": None,
    "solver_type": "bh2",
    "steps_offset": 0,
    "thresholding": False,
    "time_shift_type": "exponential",
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_dynamic_shifting": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": True,
    "use_karras_sigmas": False,
}
WAN = {
    "_class_name": "WanTransformer3DModel",
    "_diffusers_version": "0.35.0.dev0",
    "added_kv_proj_dim": None,
    "attention_head_dim": 128,
    "cross_attn_norm": True,
    "eps": 1e-06,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "image_dim": None,
    "in_channels": 16,
    "num_attention_heads": 40,
    "num_layers": 40,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "pos_embed_seq_len": None,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "text_dim": 4096,
}
WAN_13B = WAN | {"ffn_dim": 8960, "num_attention_heads": 12, "num_layers": 30}
WAN_21_IMAGE = WAN | {"added_kv_proj_dim": 5120, "image_dim": 1280, "in_channels": 36}
WAN_VAE = {
    "_class_name": "AutoencoderKLWan",
    "_diffusers_version": "0.33.0.dev0",
    "attn_scales": [],
    "base_dim": 96,
    "dim_mult": [1, 2, 4, 4],
    "dropout": 0.0,
    "latents_mean": [-0.7571, *[0.1] * 15],
    "latents_std": [2.8184, *[1.1] * 15],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
}
WAN_VAE_22 = WAN_VAE | {
    "base_dim": 160,
    "clip_output": False,
    "decoder_base_dim": 256,
    "in_channels": 12,
    "is_residual": True,
    "latents_mean": [-0.2289, *[0.1] * 47],
    "latents_std": [0.4765, *[1.1] * 47],
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "z_dim": 48,
}
_FIVE_BILLION = WAN | {
    "ffn_dim": 14336,
    "in_channels": 48,
    "num_attention_heads": 24,
    "num_layers": 30,
    "out_channels": 48,
}
_VACE = {"_class_name": "WanVACETransformer3DModel", "vace_in_channels": 96}
_SECOND = {"transformer_2": ("diffusers", "WanTransformer3DModel", WAN)}
_SECOND_IMAGE = {"transformer_2": ("diffusers", "WanTransformer3DModel", WAN | {"in_channels": 36})}
_LOOKS = {
    "image_encoder": ("transformers", "CLIPVisionModel", CLIP_H),
    "image_processor": ("transformers", "CLIPImageProcessor", {"size": {"shortest_edge": 224}}),
}
_UNUSED = {"image_encoder": (None, None, None), "image_processor": (None, None, None)}


def _wan(transformer, vae=WAN_VAE, **others):
    return {
        "scheduler": ("diffusers", "UniPCMultistepScheduler", UNIPC),
        "text_encoder": ("transformers", "UMT5EncoderModel", UMT5_XXL),
        "tokenizer": UMT5_READER,
        "transformer": ("diffusers", transformer["_class_name"], transformer),
        "vae": ("diffusers", "AutoencoderKLWan", vae),
        **others,
    }


MODELS = {
    "Wan2.2-TI2V-5B": (
        "WanPipeline",
        {"boundary_ratio": None, "expand_timesteps": True},
        _wan(_FIVE_BILLION, WAN_VAE_22, transformer_2=(None, None, None)),
    ),
    "Wan2.2-T2V-A14B": ("WanPipeline", {"boundary_ratio": 0.875}, _wan(WAN, **_SECOND)),
    "Wan2.2-I2V-A14B": (
        "WanImageToVideoPipeline",
        {"boundary_ratio": 0.9, "expand_timesteps": False},
        _wan(WAN | {"in_channels": 36}, **_SECOND_IMAGE, **_UNUSED),
    ),
    "Wan2.1-T2V-1.3B": ("WanPipeline", {}, _wan(WAN_13B)),
    "Wan2.1-I2V-14B": ("WanImageToVideoPipeline", {}, _wan(WAN_21_IMAGE, **_LOOKS)),
    "Wan2.1-FLF2V-14B": (
        "WanImageToVideoPipeline",
        {},
        _wan(WAN_21_IMAGE | {"pos_embed_seq_len": 514}, **_LOOKS),
    ),
    "Wan2.1-VACE-1.3B": (
        "WanVACEPipeline",
        {},
        _wan(WAN_13B | _VACE | {"vace_layers": list(range(0, 30, 2))}),
    ),
}
