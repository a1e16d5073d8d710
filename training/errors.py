"""The errors of training and export; each message is written for the person who typed the command."""


class TrainingError(Exception):
    """Base of every error raised by `training`."""


class DataError(TrainingError):
    """A data set or file that cannot be obtained or read, differs from the published one, or does not fit its use."""


class RecipeError(TrainingError):
    """A recipe that does not exist, or has an unknown key or a value of the wrong kind."""


class RunError(TrainingError):
    """A run folder that holds no checkpoint, an unfinished one, or one of another recipe."""


class DivergedError(RunError):
    """A run whose loss is no longer finite."""


class SanityError(TrainingError):
    """A strict run that failed a sanity check."""


class ExportError(TrainingError):
    """A package that must not be written: parity is broken, the accuracy gate is missed, or the version exists."""


class EvaluationError(TrainingError):
    """A package that cannot be evaluated, or whose metrics differ from its card's."""
