"""Stage 1: find the chips, audit them, and upload them unless ClearML already has the same content."""


def ingest_chips(
    source: str,
    path: str,
    kaggle: str,
    sample_chips: int,
    sample_seed: int,
    max_bad_fraction: float,
    label_set: str,
    source_stamp: str,
    dataset_project: str,
    dataset_name: str,
    code_version: str,
) -> tuple[str, str, int, str, str]:
    """Return `(dataset_id, content_hash, chips, labels, label_set)`.

    The dataset is a draft, or an earlier one of equal content. For the source `clearml`, `path` is the id of
    a registered version: it is audited like any other source, and used as is.
    `label_set` is JSON: the settings' label set. It is returned, and `labels` are its labels, separated by
    spaces; a registered version with a label set of its own is read with that, which is returned instead.
    `source_stamp` changes with a local folder; it is here as a part of the cache key. A source that a
    registered dataset came from is not fetched again, unless the run refreshes `ingest`.

    Content that shares chips with an earlier version becomes its child: only new and changed files are
    decoded and uploaded.
    """
    import tempfile
    from pathlib import Path

    from planets.archive.audit import audit
    from planets.archive.layout import TABLE
    from planets.archive.table import examples, find_archive
    from planets.archive.writer import chip_path, write_archive
    from planets.labels import LabelSet
    from planets.system import require_space
    from steps.clearml import datasets, sources
    from steps.clearml.chips import SOURCE
    from steps.clearml.code_version import require_code
    from steps.clearml.reports import EXAMPLES, report_dataset
    from steps.clearml.task import content_tag, is_refreshed
    from steps.clearml.uploads import upload_artifact

    require_code("ingest", code_version)
    version = sources.RegisteredVersion(path) if source == "clearml" else None
    chosen = version or sources.project_source(source, path, kaggle, sample_chips, sample_seed)
    labels = (version and version.label_set()) or LabelSet.model_validate_json(label_set)
    returned = " ".join(labels.labels), labels.model_dump_json()
    origin = sources.origin_of(chosen, labels, max_bad_fraction)
    registered = datasets.find_registered(dataset_project, dataset_name, origin)
    refreshed = is_refreshed("ingest")
    if registered and not refreshed:
        print(f"dataset {registered.dataset_id} came from the same source: nothing to fetch, audit or upload")
        return *registered, *returned

    known = None if refreshed else datasets.newest(dataset_project, dataset_name, sources.audit_tag())
    digests = frozenset(known.digests.values()) if known else frozenset()
    audited = audit(find_archive(chosen.fetch(), labels), max_bad_fraction, known=digests, say=print)
    print("\n".join(audited.summary()))
    upload_artifact("audit", audited.to_json(), ".json")

    dataset_id = datasets.find_content(dataset_project, dataset_name, audited.content_hash)
    if dataset_id:
        print(f"dataset {dataset_id} has this content already: nothing to upload")
    elif version and not audited.bad:
        dataset_id = version.adopt(audited.content_hash)
        print(f"dataset {dataset_id} has no bad chip and is used as is")
    else:
        chips = audited.chips.assign(file=audited.chips["image_name"].map(chip_path))
        files = dict(zip(chips["file"], chips["sha256"], strict=True))
        parent = datasets.parent_of(dataset_project, dataset_name, files)
        stored = parent.digests if parent else {}
        new = chips[[stored.get(file) != digest for file, digest in files.items()]]
        with tempfile.TemporaryDirectory() as staging:
            # ClearML packs a second copy there; it hangs if it cannot.
            require_space(
                Path(staging),
                2 * int(new["size"].sum()),
                "packing the dataset",
                "free some space, or use another disk for temporary files (TMPDIR; PLANETS_STACK for the "
                "workers of the embedded server)",
            )
            folder = write_archive(chips, Path(staging) / "chips", new)
            origin_tag = f"kaggle:{kaggle}" if source == "kaggle" else source
            dataset_id = datasets.upload(
                dataset_project,
                dataset_name,
                [content_tag(audited.content_hash), f"{SOURCE}:{origin_tag}", sources.audit_tag()],
                labels,
                folder,
                {*files, TABLE},
                parent.dataset_id if parent else None,
            )
            shown = examples(new, labels.labels, EXAMPLES)
            captions = shown["image_name"] + ": " + shown["tags"]
            pictures = [folder / file for file in shown["file"]]
            report_dataset(dataset_id, audited.labels, dict(zip(captions, pictures, strict=True)))
        print(f"uploaded {len(new):,} of {len(chips):,} chips as the draft {dataset_id}")
        if parent:
            print(f"the other chips are those of its parent, dataset {parent.dataset_id}")
    datasets.remember_origin(dataset_project, dataset_name, origin, dataset_id)
    return dataset_id, audited.content_hash, len(audited.chips), *returned
