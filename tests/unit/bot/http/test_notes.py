from types import SimpleNamespace

import pytest

from bot.http.videos.video_json import notes
from inference.domain.job import JobState
from inference.domain.verdict import Verdict
from tests.fakes.models import MODELS
from tests.fakes.orders import a_spec

INSTALLATION = SimpleNamespace(model=lambda _: MODELS.capabilities("nano"))


@pytest.mark.parametrize(
    ("state", "refine", "prompt", "said"),
    [
        (JobState.ACCEPTED, False, "a red dragon", True),
        (JobState.ACCEPTED, True, "a red dragon", False),  # the assistant may still change it
        (JobState.QUEUED, True, "a red dragon", True),
        (JobState.DONE, False, "a red dragon", True),
        (JobState.QUEUED, False, "a red ball", False),
    ],
)
def test_an_answer_says_which_words_the_model_does_not_know(state, refine, prompt, said):
    spec = a_spec(prompt=prompt, refine=refine)
    job = SimpleNamespace(state=state, spec=spec, verdict=Verdict())
    told = notes(job, INSTALLATION, "en")
    assert [note.startswith("nano does not know ‘dragon’.") for note in told] == [True] * said  # noqa: RUF001
