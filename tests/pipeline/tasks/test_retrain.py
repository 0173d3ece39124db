"""The service that watches a dataset."""

from support import sdk_process


def watched():
    from clearml import Task

    from pipeline.config.settings import load_config
    from pipeline.connection import Api
    from pipeline.tasks.retrain import new_service, scheduler_of

    config = load_config("sample", [("clearml.dataset", "watched (v2)")])
    for name in ("watched (v2)", "watched v2", "other watched (v2)"):
        Task.create("watched", name)
    (trigger,) = scheduler_of(new_service(config, {}, minutes=1)).get_triggers()
    found = Api().call("tasks.get_all", name=trigger.match_name, only_fields=["name"])["tasks"]
    return [task["name"] for task in found]


def test_the_datasets_name_is_no_pattern(server, tmp_path):
    """Unescaped, it would match the dataset `watched v2` instead."""
    assert sdk_process.call(server, tmp_path, watched) == ["watched (v2)"]
