"""The settings of what happens to a run's best model, and of who is told."""

from typing import Literal

from pydantic import Field

from planets.config.base import Settings

PublishRule = Literal["better", "higher", "always"]


class PublishSettings(Settings):
    """When a run's best model becomes the published best of its test chips."""

    when: PublishRule = Field(
        description="test F2 against the published best's on the same test chips: `better`, higher by more "
        "than chance explains; `higher`, by any amount; `always`, without a condition"
    )


class NotifySettings(Settings):
    """Who is told of a failed run and of a new published best."""

    webhook: str = Field(
        description="URL that gets a JSON document by POST; it never travels with a run: the controller's "
        "worker reads $PLANETS_WEBHOOK, .env.local or configs/project.yaml"
    )
