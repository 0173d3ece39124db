"""Stage 3: divide the chips into train, valid and test."""


def split_chips(dataset_id: str, valid: float, test: float, seed: int, code_version: str) -> tuple[str, str]:
    """Return `(split_id, counts)`: the task that holds the table, and `{part: chips}` as JSON.

    An equal division made before is returned by its own id, so that what was built on it stays valid.
    """
    import hashlib
    import json
    from collections import Counter

    from planets.archive.split import stratified_split
    from steps.clearml import task as tracking
    from steps.clearml.chips import read_chips
    from steps.clearml.code_version import require_code

    require_code("split", code_version)
    chips = read_chips(dataset_id)
    parts = stratified_split(chips.labels, chips.digests(), valid, test, seed)
    rows = [(name, str(part)) for name, part in zip(chips.names, parts, strict=True)]
    text = tracking.store_table("split", ("name", "part"), rows)
    counts = dict(sorted(Counter(part for _, part in rows).items()))
    print(f"split {len(rows)} chips: {counts}")
    return tracking.canonical(hashlib.sha256(text.encode()).hexdigest()), json.dumps(counts)
