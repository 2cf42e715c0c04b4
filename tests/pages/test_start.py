"""Start says the next step when there is nothing, and leads back to what there is."""

from core.data.card import Audit, DatasetCard
from tests.conftest import sine_series
from tests.pages.conftest import sound, words


def test_a_fresh_home_shows_three_doors_and_the_next_step(app):
    at = sound(app())
    assert [heading.value for heading in at.header] == [
        "Try a sample",
        "Upload your own",
        "Open a model",
        "Recent runs",
    ]
    assert "No run yet" in words(at)


def test_the_doors_lead_to_their_page(app):
    at = app()
    at.button[0].click().run()
    assert sound(at).title[0].value == "Data"
    assert "There is no dataset yet" in words(at)


def test_a_recent_run_is_named_with_its_state_and_score(app, home, small_spec):
    from core.ui import resources

    series = sine_series()
    at = app()
    store = resources.store()
    dataset = store.add_dataset(
        series, DatasetCard.of(series, Audit(rows=400, step="1 hour", start="2024-01-01", end="2024-01-17"))
    )
    spec = small_spec(series, dataset=dataset)
    store.add_run("20260101-000000000-abcdef", "*waves* <img>", spec.model_dump_json(), "queued", home)
    store.update_run("20260101-000000000-abcdef", state="finished", card={"metrics": {"mse": 0.12345}})
    said = words(sound(at.run()))
    assert "*waves* <img>" in said
    assert "test MSE 0.123" in said
    assert r"\*waves\* \<img\>" in "".join(element.value for element in at.markdown)
