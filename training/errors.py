"""What can go wrong between a data set and a package; each message is meant for whoever typed the command."""


class TrainingError(Exception):
    """Base of every error of this room."""


class DataError(TrainingError):
    """A data file is not what its source publishes, cannot be had, or is no idx file."""


class RecipeError(TrainingError):
    """A recipe that does not exist, or has an unknown key or a value of the wrong kind."""


class RunError(TrainingError):
    """A run folder that holds no checkpoint, an unfinished one, or one of another recipe."""


class DivergedError(RunError):
    """A run whose loss is no number any more."""


class SanityError(TrainingError):
    """A run that a sanity check says will learn nothing, and that was to be strict."""


class ExportError(TrainingError):
    """A package that may not be written: parity broken, accuracy gate missed, version taken."""


class EvaluationError(TrainingError):
    """A package that does not score what its card says."""
