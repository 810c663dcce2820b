"""A file names what held, also where that is not what was asked for."""

from inference.domain.watermark import WatermarkSettings
from inference.engines import testcard
from inference.engines.registry import Models
from inference.media.provenance import read_recipe
from inference.workers.render import Engines, render_task
from inference.workers.slot import RenderTask
from tests.fakes.orders import a_spec


class Unable(testcard.TestcardEngine):
    """A test card that makes the best of a wish that it cannot follow."""

    def render(self, spec, inputs, monitor):
        monitor.instead("motion", "low")
        yield from super().render(spec, inputs, monitor)


class OnlyUnable(Models):
    def create(self, name):
        made = super().create(name)
        made.__class__ = Unable
        return made


def test_the_recipe_names_what_held_instead(tmp_path):
    spec = a_spec(model="testcard", frames=1, steps=1)
    recipe = {"options": dict(spec.options)}
    task = RenderTask(
        job_id="job",
        attempt=1,
        spec=spec,
        directory=tmp_path / "job",
        image=None,
        watermark=WatermarkSettings(),
        recipe=recipe,
    )
    engines = Engines(OnlyUnable({"testcard": {"step_seconds": 0.0}}))

    made = render_task(task, engines, lambda _progress: None)

    written = read_recipe(tmp_path / "job" / made.name)
    assert written["options"] == {**spec.options, "motion": "low"}
    assert recipe["options"] == spec.options
