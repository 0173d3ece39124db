"""The labels of the synthetic sample: those of the planets dataset, which its drawings imitate.

They are also the labels of every bundle and run that was stored before these had a label set of their own.
"""

from planets.labels import CardTexts, Group, LabelSet

WEATHER = ("clear", "partly_cloudy", "cloudy", "haze")
"""Exactly one of these applies to a chip; `cloudy` hides the ground, so it excludes all other labels."""

LAND_COVER = (
    "primary",
    "agriculture",
    "road",
    "water",
    "cultivation",
    "habitation",
    "bare_ground",
)
"""Land cover; these labels co-occur freely."""

RARE = (
    "selective_logging",
    "artisinal_mine",
    "blooming",
    "slash_burn",
    "conventional_mine",
    "blow_down",
)
"""Land use and events on fewer than 1 % of the real chips (spelling as in the dataset)."""

LABELS = (*WEATHER, *LAND_COVER, *RARE)

PLANETS = LabelSet(
    labels=LABELS,
    titles={label: label.replace("_", " ") for label in LABELS if "_" in label}
    | {"artisinal_mine": "artisanal mine", "slash_burn": "slash and burn"},
    groups=(Group(name="weather", labels=WEATHER, alone=("cloudy",)),),
    card=CardTexts(
        subject="satellite chips of the Amazon basin",
        metres_per_pixel=3,
        keywords=("satellite",),
        limits=(
            "The labels of the Amazon chips are crowd-sourced and noisy, which bounds every score.",
            "Neighboring chips were cut from the same scenes and lie on both sides of the split: expect "
            "lower scores on unseen scenes. No score here measures by how much.",
            "It knows one region, one sensor and one scale.",
        ),
    ),
)
"""The label set `configs/labels/planets.yaml`."""
