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
    cache key. A source that a registered dataset came from is not fetched again, unless the run says
    `refresh ingest`.
    """
    import tempfile
    from pathlib import Path

    from planets.archive.audit import audit
    from planets.archive.table import find_archive
    from planets.archive.writer import write_archive
    from planets.sources.source import source_of
    from steps.clearml import datasets, origins
    from steps.clearml import task as tracking
    from steps.clearml.code_version import require_code
    from steps.clearml.registered import RegisteredVersion, mark_made_by_run

    require_code("ingest", code_version)
    version = RegisteredVersion(path) if source == "clearml" else None
    cache = tracking.host_cache() / "sources"
    chosen = version or source_of(source, cache, path, kaggle, sample_chips, sample_seed, code_version)
    origin = origins.origin_of(chosen, max_bad_fraction)
    there = origins.find_registered(dataset_project, dataset_name, origin)
    if there and not origins.is_refreshed("ingest"):
        print(f"dataset {there.dataset_id} came from the same source: nothing to fetch, audit or upload")
        return there

    found = audit(find_archive(chosen.fetch()), max_bad_fraction)
    print("\n".join(found.summary()))
    tracking.current_task().upload_artifact("audit", found.to_json(), extension_name=".json")

    known = datasets.find(dataset_project, dataset_name, found.content_hash)
    if known:
        print(f"dataset {known} has this content already: nothing to upload")
    elif version and not found.bad:
        known = version.adopt(found.content_hash)
        print(f"dataset {known} is whole: it goes on as it is")
    else:
        with tempfile.TemporaryDirectory() as staging:
            laid_out = write_archive(found.chips, Path(staging) / "chips")
            origin_tag = f"kaggle:{kaggle}" if source == "kaggle" else source
            known = datasets.upload(dataset_project, dataset_name, found.content_hash, laid_out, origin_tag)
        mark_made_by_run(known)
        print(f"uploaded {len(found.chips)} chips as the draft {known}")
    origins.remember_origin(dataset_project, dataset_name, origin, known)
    return known, found.content_hash, len(found.chips)
