"""Stage 2: make the uploaded chips a version of the dataset, once per content."""


def register_dataset(
    dataset_id: str,
    content_hash: str,
    dataset_project: str,
    dataset_name: str,
    code_version: str,
) -> str:
    """Return the id of the finished dataset with this content: the draft's own, or an earlier one's.

    A version of another project or name is finished already and stays as it is.
    """
    from clearml import Dataset

    from steps.clearml.code_version import require_code
    from steps.clearml.datasets import finalize, find_content

    require_code("register", code_version)
    known = find_content(dataset_project, dataset_name, content_hash)
    if known is None:
        finalize(dataset_id)
        dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
        print(f"registered {dataset.name} {dataset.version}")
        return dataset_id
    if known != dataset_id:
        print(f"dataset {known} has been registered with this content: the draft {dataset_id} is dropped")
        Dataset.delete(dataset_id=dataset_id, force=True)
    return known
