"""Stage 1: find the chips, audit them, and upload them unless ClearML has the same content already."""


def ingest_chips(
    source: str,
    path: str,
    kaggle: str,
    sample_chips: int,
    sample_seed: int,
    max_bad_fraction: float,
    source_stamp: str,
    dataset_project: str,
    dataset_name: str,
    code_version: str,
) -> tuple[str, str, int]:
    """Return `(dataset_id, content_hash, chips)`; the dataset is a draft, or an earlier one of equal content.

    For the source `clearml`, `path` is the id of a registered version: it is audited like any other source,
    and goes on by its own id. `source_stamp` changes when a local folder does; it is here to be part of the
    cache key.
    """
    import tempfile
    from pathlib import Path

    from planets.archive import audit, write_archive
    from planets.layout import find_archive
    from planets.source import fetch_kaggle, fetch_local, fetch_sample
    from steps import tracking
    from steps.code import require_code
    from steps.registered import adopt, mark_made_by_run, registered_folder

    require_code("ingest", code_version)
    cache = tracking.host_cache() / "sources"
    if source == "sample":
        folder = fetch_sample(cache, sample_chips, sample_seed, code_version)
    elif source == "local":
        folder = fetch_local(path)
    elif source == "clearml":
        folder = registered_folder(path)
    else:
        folder = fetch_kaggle(cache, kaggle)

    found = audit(find_archive(folder), max_bad_fraction)
    print("\n".join(found.summary()))
    tracking.current_task().upload_artifact("audit", found.to_json(), extension_name=".json")

    known = tracking.find_dataset(dataset_project, dataset_name, found.content_hash)
    if known:
        print(f"dataset {known} has this content already: nothing to upload")
        return known, found.content_hash, len(found.chips)
    if source == "clearml" and not found.bad:
        adopt(path, found.content_hash)
        print(f"dataset {path} is whole: it goes on as it is")
        return path, found.content_hash, len(found.chips)
    with tempfile.TemporaryDirectory() as staging:
        laid_out = write_archive(found.chips, Path(staging) / "chips")
        draft = tracking.upload_dataset(dataset_project, dataset_name, found.content_hash, laid_out)
    mark_made_by_run(draft)
    print(f"uploaded {len(found.chips)} chips as the draft {draft}")
    return draft, found.content_hash, len(found.chips)
