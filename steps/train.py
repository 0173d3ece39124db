"""Stage 4, once per model entry: train, and register the best weights as the task's one model."""


def train_model(
    name: str,
    architecture: str,
    pretrained: bool,
    weights: str,
    licence: str,
    epochs: int,
    batch_size: int,
    image_size: int,
    seed: int,
    settings: str,
    dataset_id: str,
    split_id: str,
    code_version: str,
) -> tuple[str, float]:
    """Return `(model_id, score)`, where score is the validation score that chose the checkpoint.

    `settings` is the rest of the training settings as JSON.
    """
    import json
    import tempfile
    from pathlib import Path

    from planets.config.training import ModelEntry, TrainingSettings
    from planets.labels import LABELS
    from planets.plots.training import save_training_figures
    from planets.training.trainer import fit
    from steps.clearml import task as tracking
    from steps.clearml.checkpoints import earlier_checkpoint
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.logger import TaskLogger

    require_code("train", code_version)
    shown = {"epochs": epochs, "batch_size": batch_size, "image_size": image_size, "seed": seed}
    training = TrainingSettings.model_validate(json.loads(settings) | shown)
    entry = ModelEntry(
        name=name,
        architecture=architecture,
        pretrained=pretrained,
        weights=weights,
        license=licence,
    )
    chips = read_chips(dataset_id)
    store = open_store(chips, image_size)
    parts = chips.parts(split_id)
    with tempfile.TemporaryDirectory() as workdir:
        figures = save_training_figures(Path(workdir) / "figures", name, store, chips.labels, parts, training)
        tracking.report_figures(figures, "training")
        trained = fit(
            entry,
            training,
            store,
            chips.labels,
            parts,
            Path(workdir),
            TaskLogger(),
            earlier_checkpoint(),
        )
        file = Path(workdir) / "model.safetensors"
        trained.save(file)
        model_id = tracking.register_model(name, file, trained.description(), LABELS)
    return model_id, trained.score
