"""What the forms of a model do."""

from urllib.parse import quote

from server.dispatch import Api
from server.web.shell.form import Form


def publish_model(calls: Api, form: Form) -> str:
    """Publish a model: it is ready to be used."""
    calls.invoke("models.set_ready", model=form.value("model"))
    return _model(calls, form.value("model"), "published")


def archive_model(calls: Api, form: Form) -> str:
    """Put a model into the archive."""
    calls.invoke("models.archive_many", ids=[form.value("model")])
    return _model(calls, form.value("model"), "archived")


def restore_model(calls: Api, form: Form) -> str:
    """Bring a model back from the archive."""
    calls.invoke("models.unarchive_many", ids=[form.value("model")])
    return _model(calls, form.value("model"), "restored")


def _model(calls: Api, model_id: str, done: str) -> str:
    model = calls.invoke("models.get_by_id", model=model_id)["model"]
    return f"/projects/{quote(model.get('project') or '*', safe='*')}/models/{quote(model['id'])}?done={done}"
