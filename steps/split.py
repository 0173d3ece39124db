"""Stage 3: split the chips into train, validation and test."""


def split_chips(
    dataset_id: str, labels: str, valid: float, test: float, seed: int, code_version: str
) -> tuple[str, str]:
    """Return `(split_id, counts)`: the task that holds the table, and `{part: chips}` as JSON.

    `labels`, separated by spaces, are those by which the split is stratified.
    If an earlier task produced an equal split, its id is returned, so that later steps stay cached. The split
    of a child version extends that of its nearest ancestor with the same settings: chips stay where they are.
    """
    import hashlib
    import json

    import numpy as np

    from planets.archive.split import earlier_splits, stratified_split
    from steps.clearml.chips import read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.splits import earlier_split, note_split
    from steps.clearml.task import canonical

    require_code("split", code_version)
    chips = read_chips(dataset_id, labels)
    digests = chips.digests()
    earlier = earlier_split(dataset_id, valid, test, seed)
    kept = earlier_splits(chips.names, digests, earlier.table) if earlier else None
    parts = stratified_split(chips.labels, digests, valid, test, seed, kept)
    if earlier and kept is not None:
        print(
            f"extends split {earlier.split_id} of dataset {earlier.dataset_id}: "
            f"{np.count_nonzero(kept != ''):,} chips stay, {np.count_nonzero(kept == ''):,} are new"
        )
    text = chips.store_parts(parts, digests)
    note_split(dataset_id, valid, test, seed, earlier)
    names, sizes = np.unique(parts, return_counts=True)
    counts = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    print(f"split {len(parts):,} chips: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return canonical(hashlib.sha256(text.encode()).hexdigest()), json.dumps(counts)
