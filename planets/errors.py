"""What can go wrong in the domain library: one tree, every message says what to do."""


class PlanetsError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(PlanetsError):
    """A setting is unknown, ill-typed or contradicts another; the message names file and key."""


class ArchiveError(PlanetsError):
    """A folder of chips cannot be used; the message names the file, the line and the value."""


class UnknownTag(ArchiveError):
    """A tag that is none of the 17 labels."""


class BadChips(ArchiveError):
    """More chips are missing or unreadable than the configuration allows."""


class SourceError(PlanetsError):
    """The data source (folder, Kaggle, sample) could not be reached or used."""


class NoCredentials(SourceError):
    """Kaggle asks who we are, and nothing here says it."""


class CredentialsRefused(SourceError):
    """Kaggle does not accept the credentials."""


class TermsNotAccepted(SourceError):
    """The account may not have the dataset, as a rule because it has not accepted the terms."""


class UnknownDataset(SourceError):
    """Kaggle has no dataset of this name."""


class TooManyRequests(SourceError):
    """Kaggle asks to wait longer than a worker should."""


class NoNetwork(SourceError):
    """Kaggle, or the storage that it names, cannot be reached."""


class DiskFull(SourceError):
    """There is less room on the disk than the data needs; the message names both."""


class BadDownload(SourceError):
    """What arrived is not what was promised: another size or checksum, or no archive."""


class UnsafeArchive(SourceError):
    """An archive has a member that could leave its folder, or a bomb; nothing of it was unpacked."""


class WeightsError(PlanetsError):
    """Pretrained weights cannot be had; the message names the ways out."""


class TrainingError(PlanetsError):
    """A training cannot go on, or cannot be resumed from the checkpoint it was given."""


class ExportError(PlanetsError):
    """A network cannot be exported to ONNX, or what was exported scores chips otherwise."""


class PredictionError(PlanetsError):
    """Predictions cannot be made or written as asked: options, places of files, or the state of a folder."""


class BundleError(PlanetsError):
    """A bundle is incomplete, or was made for other labels than it is asked for."""
