"""Published video models: their real configs, by family.

The values are those that the models' repositories have, from the conversion scripts of diffusers
0.42 and the defaults of its classes.
"""

from tests.diffusers.real_models import cogvideox, hunyuan, kandinsky, ltx, mochi, wan

MODELS = (
    wan.MODELS | ltx.MODELS | kandinsky.MODELS | hunyuan.MODELS | cogvideox.MODELS | mochi.MODELS
)
"""Pipeline class, settings and parts by model: library, class, and config or size of vocabulary."""
