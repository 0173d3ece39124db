"""Stage 4, once per model entry: train, and register the best weights as the task's one model."""


def train_model(
    entry: str, training: str, dataset_id: str, labels: str, split_id: str, code_version: str
) -> tuple[str, float]:
    """Return `(model_id, score)`, where score is the validation score that chose the checkpoint.

    `entry` and `training` are JSON: a `ModelEntry` and its complete `TrainingSettings`. `labels` are those of
    the outputs in order, separated by spaces.
    """
    import tempfile
    from pathlib import Path

    from planets.config.training import ModelEntry, TrainingSettings
    from planets.plots.training import save_training_figures
    from planets.training.trainer import fit
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.logger import TaskLogger
    from steps.clearml.models import earlier_checkpoint, register_model
    from steps.clearml.reports import report_figures
    from steps.clearml.weights import with_local_weights

    require_code("train", code_version)
    model = with_local_weights(ModelEntry.model_validate_json(entry))
    settings = TrainingSettings.model_validate_json(training)
    chips = read_chips(dataset_id, labels)
    store = open_store(chips, settings.image_size)
    parts = chips.parts(split_id)
    with tempfile.TemporaryDirectory() as workdir:
        figures = save_training_figures(
            Path(workdir) / "figures", model.name, store, chips.labels, chips.label_names, parts, settings
        )
        report_figures(figures, "training")
        trained = fit(
            model,
            settings,
            store,
            chips.labels,
            chips.label_names,
            parts,
            Path(workdir),
            TaskLogger(),
            earlier_checkpoint(),
        )
        file = Path(workdir) / "model.safetensors"
        trained.save(file)
        model_id = register_model(model.name, file, trained.description(), trained.labels)
    return model_id, trained.score
