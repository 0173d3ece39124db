"""The first three stages, each run as a task of its own on the dataset of a test."""

from support.sdk_process import run_stage

from planets.synthetic.labels import LABELS, PLANETS

NAME = {"dataset_project": "stages", "dataset_name": "chips (v2)"}
"""A name with characters of regular expressions: unescaped, each run would upload the dataset again."""
NO_SAMPLE = {"kaggle": "", "sample_chips": 0, "sample_seed": 0}


def ingest(source, path, stamp="1", labels=PLANETS):
    from steps.ingest import ingest_chips

    words = {"source": source, "path": path, "max_bad_fraction": 0.0, "source_stamp": stamp}
    words |= {"label_set": labels.model_dump_json()}
    return run_stage(ingest_chips, **words, **NO_SAMPLE, **NAME)


def register(dataset_id, content):
    from steps.register import register_dataset

    return run_stage(register_dataset, dataset_id=dataset_id, content_hash=content, **NAME)


def split(dataset_id, seed):
    from steps.split import split_chips

    return run_stage(
        split_chips, dataset_id=dataset_id, labels=" ".join(LABELS), valid=0.2, test=0.2, seed=seed
    )
