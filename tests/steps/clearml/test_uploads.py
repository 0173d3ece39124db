"""Files are stored and read again whatever letters the project's name has."""

import pytest
from support.sdk_process import running_task


def stored_under(folder, project):
    from pathlib import Path

    import requests
    from clearml import OutputModel

    from steps.clearml import uploads
    from steps.clearml.artifacts import artifact_file
    from steps.clearml.models import model_weights

    file = Path(folder) / "weights.bin"
    file.write_bytes(b"weights")
    with running_task("train_a", project=project) as task:
        uploads.upload_artifact("bundle", file)
        model = OutputModel(task=task, name="model")
        uploads.upload_model(model, file)
        uploads.upload_figure("confusion 100%", "a#b", file)
        task.flush(wait_for_uploads=True)
    samples = task.get_debug_samples("confusion 100%", "a#b")
    figure = requests.get(samples[0]["url"], headers=task.session.add_auth_headers({}), timeout=60)
    return [
        artifact_file(task.id, "bundle").read_text(),
        model_weights(model.id).read_text(),
        figure.text,
    ]


@pytest.mark.parametrize("project", ["Планеты", 'spaces #1 50% "x" (v2)'])
def test_what_is_stored_can_be_read(call, tmp_path, project):
    assert call(stored_under, str(tmp_path), project) == ["weights"] * 3
