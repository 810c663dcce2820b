"""Folders of published video models: their real configs, and headers of full size without data.

The values are those that the models' repositories have, from the conversion scripts of diffusers
0.42 and the defaults of its classes. Weight files are sparse: a header with the names, shapes and
types of a class on the meta device, and a hole in place of the data.
"""

import json
import struct
from functools import cache

import diffusers
import torch
import transformers
from diffusers.pipelines import ltx2

SHARD_BYTES = 5_000_000_000
"""Largest file, as in the repositories."""
KINDS = {torch.bfloat16: "BF16", torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}

T5_XXL = {
    "model_type": "t5",
    "architectures": ["T5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "num_decoder_layers": 24,
    "num_heads": 64,
    "num_layers": 24,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 32128,
}
UMT5_XXL = T5_XXL | {
    "model_type": "umt5",
    "architectures": ["UMT5EncoderModel"],
    "scalable_attention": True,
    "tokenizer_class": "T5Tokenizer",
    "vocab_size": 256384,
}
BYT5 = T5_XXL | {
    "d_ff": 3584,
    "d_model": 1472,
    "num_heads": 6,
    "num_layers": 12,
    "num_decoder_layers": 4,
    "tokenizer_class": "ByT5Tokenizer",
    "vocab_size": 1510,
}
QWEN_TEXT = {
    "model_type": "qwen2_5_vl_text",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_position_embeddings": 128000,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "vocab_size": 152064,
}
QWEN = QWEN_TEXT | {
    "model_type": "qwen2_5_vl",
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "image_token_id": 151655,
    "text_config": QWEN_TEXT,
    "tie_word_embeddings": False,
    "vision_config": {
        "depth": 32,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "model_type": "qwen2_5_vl",
        "num_heads": 16,
        "out_hidden_size": 3584,
        "tokens_per_second": 2,
    },
}
GEMMA_3 = {
    "model_type": "gemma3",
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "image_token_index": 262144,
    "mm_tokens_per_image": 256,
    "text_config": {
        "model_type": "gemma3_text",
        "head_dim": 256,
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_attention_heads": 16,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
        "vocab_size": 262208,
    },
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    },
}
GEMMA_4 = {
    "model_type": "gemma4_unified",
    "architectures": ["Gemma4UnifiedForConditionalGeneration"],
    "text_config": {
        "model_type": "gemma4_unified_text",
        "global_head_dim": 512,
        "head_dim": 256,
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_attention_heads": 16,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
        "vocab_size": 262144,
    },
}
CLIP_TEXT = {
    "model_type": "clip_text_model",
    "architectures": ["CLIPTextModel"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "max_position_embeddings": 77,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
    "vocab_size": 49408,
}
CLIP_H = {
    "model_type": "clip_vision_model",
    "architectures": ["CLIPVisionModel"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "image_size": 224,
    "intermediate_size": 5120,
    "num_attention_heads": 16,
    "num_hidden_layers": 32,
    "patch_size": 14,
    "projection_dim": 1024,
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    "architectures": ["SiglipVisionModel"],
    "hidden_size": 1152,
    "image_size": 384,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}

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
FLOW_MATCH = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.36.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": None,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": False,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}
LTX_FLOW = FLOW_MATCH | {
    "base_image_seq_len": 1024,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "shift_terminal": 0.1,
    "use_dynamic_shifting": True,
}
COG_DDIM = {
    "_class_name": "CogVideoXDDIMScheduler",
    "_diffusers_version": "0.30.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 3.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
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
LTX_VAE = {
    "_class_name": "AutoencoderKLLTXVideo",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "decoder_causal": False,
    "encoder_causal": True,
    "patch_size": 4,
    "patch_size_t": 1,
    "resnet_norm_eps": 1e-06,
    "scaling_factor": 1.0,
}
LTX_VAE_090 = LTX_VAE | {  # the first one has few keys
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": [4, 3, 3, 3, 4],
    "spatio_temporal_scaling": [True, True, True, False],
}
LTX_VAE_097 = LTX_VAE | {
    "block_out_channels": [128, 256, 512, 1024, 2048],
    "down_block_types": ["LTXVideo095DownBlock3D"] * 4,
    "decoder_block_out_channels": [256, 512, 1024],
    "layers_per_block": [4, 6, 6, 2, 2],
    "decoder_layers_per_block": [5, 5, 5, 5],
    "spatio_temporal_scaling": [True] * 4,
    "decoder_spatio_temporal_scaling": [True] * 3,
    "decoder_inject_noise": [False] * 4,
    "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
    "upsample_residual": [True] * 3,
    "upsample_factor": [2] * 3,
    "timestep_conditioning": True,
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
LTX2 = {
    "_class_name": "LTX2VideoTransformer3DModel",
    "in_channels": 128,
    "out_channels": 128,
    "patch_size": 1,
    "patch_size_t": 1,
    "num_attention_heads": 32,
    "attention_head_dim": 128,
    "cross_attention_dim": 4096,
    "vae_scale_factors": [8, 32, 32],
    "pos_embed_max_pos": 20,
    "base_height": 2048,
    "base_width": 2048,
    "gated_attn": False,
    "cross_attn_mod": False,
    "audio_in_channels": 128,
    "audio_out_channels": 128,
    "audio_patch_size": 1,
    "audio_patch_size_t": 1,
    "audio_num_attention_heads": 32,
    "audio_attention_head_dim": 64,
    "audio_cross_attention_dim": 2048,
    "audio_scale_factor": 4,
    "audio_pos_embed_max_pos": 20,
    "audio_sampling_rate": 16000,
    "audio_hop_length": 160,
    "audio_gated_attn": False,
    "audio_cross_attn_mod": False,
    "num_layers": 48,
    "activation_fn": "gelu-approximate",
    "qk_norm": "rms_norm_across_heads",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "caption_channels": 3840,
    "attention_bias": True,
    "attention_out_bias": True,
    "rope_theta": 10000.0,
    "rope_double_precision": True,
    "causal_offset": 1,
    "timestep_scale_multiplier": 1000,
    "cross_attn_timestep_scale_multiplier": 1000,
    "rope_type": "split",
    "use_prompt_embeddings": True,
    "perturbed_attn": False,
}
LTX25 = LTX2 | {
    "gated_attn": True,
    "cross_attn_mod": True,
    "audio_gated_attn": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
    "perturbed_attn": True,
    "ff_bias": False,
    "use_keyframes_abs_pos_embedding": True,
}
LTX2_VAE = {
    "_class_name": "AutoencoderKLLTX2Video",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "block_out_channels": [256, 512, 1024, 2048],
    "down_block_types": ["LTX2VideoDownBlock3D"] * 4,
    "decoder_block_out_channels": [256, 512, 1024],
    "layers_per_block": [4, 6, 6, 2, 2],
    "decoder_layers_per_block": [5, 5, 5, 5],
    "spatio_temporal_scaling": [True] * 4,
    "decoder_spatio_temporal_scaling": [True] * 3,
    "decoder_inject_noise": [False] * 4,
    "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
    "upsample_type": ["spatiotemporal"] * 3,
    "upsample_residual": [True] * 3,
    "upsample_factor": [2] * 3,
    "timestep_conditioning": False,
    "patch_size": 4,
    "patch_size_t": 1,
    "resnet_norm_eps": 1e-06,
    "encoder_causal": True,
    "decoder_causal": False,
    "encoder_spatial_padding_mode": "zeros",
    "decoder_spatial_padding_mode": "reflect",
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
LTX25_VAE = LTX2_VAE | {
    "block_out_channels": [256, 512, 1024, 1024],
    "decoder_block_out_channels": [256, 512, 512, 1024],
    "layers_per_block": [4, 6, 4, 2, 2],
    "decoder_layers_per_block": [4, 6, 4, 2, 2],
    "decoder_spatio_temporal_scaling": [True] * 4,
    "decoder_inject_noise": [False] * 5,
    "upsample_type": ["spatiotemporal", "spatiotemporal", "temporal", "spatial"],
    "upsample_residual": [False] * 4,
    "upsample_factor": [2, 2, 1, 2],
    "decoder_spatial_padding_mode": "zeros",
}
LTX2_SOUND = {
    "_class_name": "AutoencoderKLLTX2Audio",
    "base_channels": 128,
    "output_channels": 2,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": None,
    "in_channels": 2,
    "resolution": 256,
    "latent_channels": 8,
    "norm_type": "pixel",
    "causality_axis": "height",
    "dropout": 0.0,
    "mid_block_add_attention": False,
    "sample_rate": 16000,
    "mel_hop_length": 160,
    "is_causal": True,
    "mel_bins": 64,
    "double_z": True,
}
CONNECTORS = {
    "_class_name": "LTX2TextConnectors",
    "caption_channels": 3840,
    "text_proj_in_factor": 49,
    "video_connector_num_attention_heads": 30,
    "video_connector_attention_head_dim": 128,
    "video_connector_num_layers": 2,
    "video_connector_num_learnable_registers": 128,
    "video_gated_attn": False,
    "audio_connector_num_attention_heads": 30,
    "audio_connector_attention_head_dim": 128,
    "audio_connector_num_layers": 2,
    "audio_connector_num_learnable_registers": 128,
    "audio_gated_attn": False,
    "connector_rope_base_seq_len": 4096,
    "rope_theta": 10000.0,
    "rope_double_precision": True,
    "causal_temporal_positioning": False,
    "rope_type": "split",
    "per_modality_projections": False,
    "proj_bias": False,
}
CONNECTORS_25 = CONNECTORS | {
    "video_connector_num_attention_heads": 32,
    "video_connector_num_layers": 8,
    "video_gated_attn": True,
    "audio_connector_num_attention_heads": 32,
    "audio_connector_attention_head_dim": 64,
    "audio_connector_num_layers": 8,
    "audio_gated_attn": True,
    "per_modality_projections": True,
    "video_hidden_dim": 4096,
    "audio_hidden_dim": 2048,
    "proj_bias": True,
}
VOCODER_25 = {
    "_class_name": "LTX2VocoderWithBWE",
    "in_channels": 128,
    "hidden_channels": 1536,
    "out_channels": 2,
    "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
    "upsample_factors": [5, 2, 2, 2, 2, 2],
    "resnet_kernel_sizes": [3, 7, 11],
    "resnet_dilations": [[1, 3, 5]] * 3,
    "act_fn": "snakebeta",
    "antialias": True,
    "antialias_ratio": 2,
    "antialias_kernel_size": 12,
    "final_act_fn": None,
    "final_bias": False,
    "bwe_in_channels": 128,
    "bwe_hidden_channels": 512,
    "bwe_out_channels": 2,
    "bwe_upsample_kernel_sizes": [12, 11, 4, 4, 4],
    "bwe_upsample_factors": [6, 5, 2, 2, 2],
    "bwe_resnet_kernel_sizes": [3, 7, 11],
    "bwe_resnet_dilations": [[1, 3, 5]] * 3,
    "bwe_act_fn": "snakebeta",
    "bwe_antialias": True,
    "bwe_final_act_fn": None,
    "bwe_final_bias": False,
    "filter_length": 512,
    "hop_length": 80,
    "window_length": 512,
    "num_mel_channels": 64,
    "input_sampling_rate": 16000,
    "output_sampling_rate": 48000,
}
KANDINSKY_LITE = {
    "_class_name": "Kandinsky6Transformer3DModel",
    "audio_freqs_scaling": 0.144,
    "axes_dims": [16, 24, 24],
    "axes_dims_a": [16, 24, 24],
    "ca_rope": True,
    "cross_gates": True,
    "ff_dim": 7168,
    "ff_dim_a": 3584,
    "fix_modulation": True,
    "in_audio_dim": 40,
    "in_text_dim": 3584,
    "in_text_dim2": 768,
    "in_visual_dim": 16,
    "is_multimodal": True,  # only in the file
    "model_dim": 1792,
    "model_dim_a": 896,
    "num_text_blocks": 2,
    "num_visual_blocks": 32,
    "out_audio_dim": 400,
    "out_visual_dim": 160,
    "patch_size": [1, 2, 2],
    "text_token_padding": True,
    "time_dim": 512,
    "time_dim_a": 512,
    "visual_cond": True,
    "visual_token_type_num_embeddings": 2,
}
PIFLOW = {
    "_class_name": "PiflowScheduler",
    "_diffusers_version": "0.41.0.dev0",
    "eps": 1e-06,
    "final_step_size_scale": 0.5,
    "n_grid": 10,
    "num_policy_substeps": 128,
    "num_train_timesteps": 1000,
    "shift": 5.0,
}
COG_5B = {
    "_class_name": "CogVideoXTransformer3DModel",
    "num_attention_heads": 48,
    "num_layers": 42,
    "text_embed_dim": 4096,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": False,
}

T5_READER = ("transformers", "T5Tokenizer", 32100)
UMT5_READER = ("transformers", "T5TokenizerFast", 256300)
QWEN_READER = ("transformers", "Qwen2TokenizerFast", 151665)
GEMMA_READER = ("transformers", "GemmaTokenizerFast", 262145)


def _wan(transformer, vae=WAN_VAE, **others):
    return {
        "scheduler": ("diffusers", "UniPCMultistepScheduler", UNIPC),
        "text_encoder": ("transformers", "UMT5EncoderModel", UMT5_XXL),
        "tokenizer": UMT5_READER,
        "transformer": ("diffusers", transformer["_class_name"], transformer),
        "vae": ("diffusers", "AutoencoderKLWan", vae),
        **others,
    }


def _ltx(scheduler, transformer, vae):
    return {
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", scheduler),
        "text_encoder": ("transformers", "T5EncoderModel", T5_XXL),
        "tokenizer": T5_READER,
        "transformer": ("diffusers", "LTXVideoTransformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLLTXVideo", vae),
    }


def _ltx2(encoder, transformer, vae, connectors, vocoder):
    return {
        "audio_vae": ("diffusers", "AutoencoderKLLTX2Audio", LTX2_SOUND),
        "connectors": ("ltx2", "LTX2TextConnectors", connectors),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", LTX_FLOW),
        "text_encoder": ("transformers", encoder["architectures"][0], encoder),
        "tokenizer": GEMMA_READER,
        "transformer": ("diffusers", "LTX2VideoTransformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLLTX2Video", vae),
        "vocoder": ("ltx2", vocoder.get("_class_name", "LTX2Vocoder"), vocoder),
    }


def _kandinsky(scheduler, transformer, **others):
    return {
        "audio_vae": ("diffusers", "MMAudioVAE", {"scaling_factor": 0.5302}),
        "scheduler": ("diffusers", scheduler["_class_name"], scheduler),
        "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration", QWEN),
        "text_encoder_2": ("transformers", "CLIPTextModel", CLIP_TEXT),
        "tokenizer": ("transformers", "Qwen2_5_VLProcessor", 151665),
        "tokenizer_2": ("transformers", "CLIPTokenizer", 49408),
        "transformer": ("diffusers", "Kandinsky6Transformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLHunyuanVideo", {}),
        "vocoder": ("diffusers", "MMAudioVocoder", {}),
        **others,
    }


def _hunyuan(task, guidance=6.0, **others):
    guider = {"_class_name": "ClassifierFreeGuidance", "guidance_scale": guidance, "start": 0.0}
    return {
        "guider": ("diffusers", "ClassifierFreeGuidance", guider),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", FLOW_MATCH | {"shift": 5.0}),
        "text_encoder": ("transformers", "Qwen2_5_VLTextModel", QWEN_TEXT),
        "text_encoder_2": ("transformers", "T5EncoderModel", BYT5),
        "tokenizer": QWEN_READER,
        "tokenizer_2": ("transformers", "ByT5Tokenizer", None),
        "transformer": ("diffusers", "HunyuanVideo15Transformer3DModel", {"task_type": task}),
        "vae": ("diffusers", "AutoencoderKLHunyuanVideo15", {}),
        **others,
    }


def _cog(transformer, **vae):
    return {
        "scheduler": ("diffusers", "CogVideoXDDIMScheduler", COG_DDIM),
        "text_encoder": ("transformers", "T5EncoderModel", T5_XXL),
        "tokenizer": T5_READER,
        "transformer": ("diffusers", "CogVideoXTransformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLCogVideoX", vae),
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
    "LTX-Video-0.9.0": (
        "LTXPipeline",
        {},
        _ltx(LTX_FLOW, {"num_layers": 28, "caption_channels": 4096}, LTX_VAE_090),
    ),
    "LTX-Video-0.9.7": (
        "LTXConditionPipeline",
        {},
        _ltx(
            FLOW_MATCH,
            {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48},
            LTX_VAE_097,
        ),
    ),
    "LTX-2": ("LTX2Pipeline", {}, _ltx2(GEMMA_3, LTX2, LTX2_VAE, CONNECTORS, {})),
    "LTX-2.5": (
        "LTX2Pipeline",
        {"model_version": "2.5"},
        _ltx2(GEMMA_4, LTX25, LTX25_VAE, CONNECTORS_25, VOCODER_25)
        # Parts of other pipelines: no folder is needed for them.
        | {"diffusion_decoder": ("ltx2", "LTX2VideoDiffusionDecoderModel", None)}
        | {"processor": (None, None, None), "prompt_enhancer": (None, None, None)},
    ),
    "Kandinsky-6-Lite-distill": (
        "Kandinsky6TI2VAPipeline",
        {},
        _kandinsky(PIFLOW, KANDINSKY_LITE),
    ),
    "Kandinsky-6-Lite": (
        "Kandinsky6TI2VAPipeline",
        {},
        _kandinsky(
            FLOW_MATCH | {"shift": 5.0},
            KANDINSKY_LITE | {"out_audio_dim": 40, "out_visual_dim": 16},
        ),
    ),
    "HunyuanVideo-1.5-t2v": ("HunyuanVideo15Pipeline", {}, _hunyuan("t2v")),
    "HunyuanVideo-1.5-i2v-distilled": (
        "HunyuanVideo15ImageToVideoPipeline",
        {},
        _hunyuan(
            "i2v",
            1.0,
            image_encoder=("transformers", "SiglipVisionModel", SIGLIP),
            feature_extractor=("transformers", "SiglipImageProcessor", {"size": {"height": 384}}),
        ),
    ),
    "CogVideoX-2b": ("CogVideoXPipeline", {}, _cog({"num_layers": 30})),
    "CogVideoX-5b": ("CogVideoXPipeline", {}, _cog(COG_5B, scaling_factor=0.7)),
    "CogVideoX-5b-I2V": (
        "CogVideoXImageToVideoPipeline",
        {},
        _cog(COG_5B | {"in_channels": 32, "use_learned_positional_embeddings": True}),
    ),
    "CogVideoX1.5-5B": (
        "CogVideoXPipeline",
        {},
        _cog(
            COG_5B | {"patch_size_t": 2, "patch_bias": False, "sample_frames": 81},
            invert_scale_latents=True,
        ),
    ),
    "mochi-1-preview": (
        "MochiPipeline",
        {"force_zeros_for_empty_prompt": False},
        {
            "scheduler": (
                "diffusers",
                "FlowMatchEulerDiscreteScheduler",
                FLOW_MATCH | {"invert_sigmas": True},
            ),
            "text_encoder": ("transformers", "T5EncoderModel", T5_XXL),
            "tokenizer": T5_READER,
            "transformer": ("diffusers", "MochiTransformer3DModel", {}),
            "vae": ("diffusers", "AutoencoderKLMochi", {}),
        },
    ),
}
"""Pipeline class, settings and parts by model: library, class, and config or size of vocabulary."""


def written(name, place, dtype=torch.bfloat16):
    """Write the folder of a model, and return its path."""
    pipeline_class, settings, parts = MODELS[name]
    index = {"_class_name": pipeline_class, "_diffusers_version": "0.42.0"} | settings
    for part, (library, class_name, values) in parts.items():
        index[part] = [library, class_name]
        if library is None or part == "diffusion_decoder":
            continue
        folder = place / part
        folder.mkdir(parents=True)
        if "Tokenizer" in class_name or class_name.endswith("VLProcessor"):
            write_tokenizer(folder, class_name, values)
        elif "Scheduler" in class_name:
            write_json(folder / "scheduler_config.json", values)
        elif "Guidance" in class_name:
            write_json(folder / "guider_config.json", values)
        elif "Processor" in class_name:
            write_json(folder / "preprocessor_config.json", values)
        else:
            write_json(folder / "config.json", values)
            write_weights(folder, library, _tensors(library, class_name, json.dumps(values), dtype))
    write_json(place / "model_index.json", index)
    (place / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (place / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (place / "assets").mkdir()
    (place / "assets" / "logo.png").write_bytes(b"\x89PNG")
    return place


@cache
def _tensors(library, class_name, config, dtype):
    """The names, shapes and types in the files of a class; tied tensors are there once."""
    module = {"diffusers": diffusers, "transformers": transformers, "ltx2": ltx2}[library]
    kind, values = getattr(module, class_name), json.loads(config)
    with torch.device("meta"):
        if library == "transformers":
            model = kind(kind.config_class.from_dict(values))
            model.tie_weights()
        else:
            model = kind.from_config(values)
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        stored = KINDS[dtype if tensor.is_floating_point() else tensor.dtype]
        found.setdefault(id(tensor), (name, stored, tuple(tensor.shape)))
    return tuple(found.values())


def write_weights(folder, library, tensors, variant=""):
    """Write sparse files of the size that the tensors have, with an index if there are several."""
    stem = "model" if library == "transformers" else "diffusion_pytorch_model"
    shards = [[]]
    size = 0
    for tensor in tensors:
        bytes_ = _bytes(tensor)
        if size and size + bytes_ > SHARD_BYTES:
            shards.append([])
            size = 0
        size += bytes_
        shards[-1].append(tensor)
    if len(shards) == 1:
        _write_sparse(folder / f"{stem}{variant}.safetensors", shards[0])
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"{stem}{variant}-{number:05}-of-{len(shards):05}.safetensors"
        _write_sparse(folder / name, shard)
        weight_map |= {tensor[0]: name for tensor in shard}
    total = sum(map(_bytes, tensors))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / f"{stem}.safetensors.index{variant}.json", index)


def _bytes(tensor):
    _, dtype, shape = tensor
    return torch.Size(shape).numel() * {"F32": 4, "I64": 8, "U8": 1, "I8": 1}.get(dtype, 2)


def _write_sparse(path, tensors):
    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in tensors:
        end = place + _bytes((name, dtype, shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, end]}
        place = end
    data = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(data)) + data)
        file.truncate(8 + len(data) + place)


def write_tokenizer(folder, class_name, words):
    """Write a vocabulary of the real size, in the file that the real one has."""
    config = {"tokenizer_class": class_name.removesuffix("Fast")}
    if class_name == "T5Tokenizer":
        pieces = b"".join(b"\x0a\x02\x0a\x00" for _ in range(words - 100))  # and the extra ids
        (folder / "spiece.model").write_bytes(pieces)
        write_json(folder / "added_tokens.json", {f"<extra_id_{one}>": one for one in range(100)})
    elif class_name == "CLIPTokenizer":
        write_json(folder / "vocab.json", {f"w{number}": number for number in range(words)})
        (folder / "merges.txt").write_text("#version: 0.2\n")
    elif words is not None:
        config["tokenizer_class"] = {"T": "T5Tokenizer", "Q": "Qwen2Tokenizer"}.get(
            class_name[0], "GemmaTokenizer"
        )
        added = [{"id": words - 1, "content": "<last>", "special": True}]
        if class_name.startswith("T5"):
            model = {"type": "Unigram", "vocab": [[f"w{one}", -1.0] for one in range(words)]}
        else:
            model = {"type": "BPE", "vocab": {f"w{one}": one for one in range(words - 22)}}
        write_json(folder / "tokenizer.json", {"model": model, "added_tokens": added})
    write_json(folder / "tokenizer_config.json", config)


def write_json(path, value):
    path.write_text(json.dumps(value))
