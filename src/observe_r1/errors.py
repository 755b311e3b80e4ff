"""Every error a user can meet.

    ObserveError       the root: one clear message, exit status 2, never a traceback
    ├── ConfigError    a recipe, key, value or combination that cannot work (ValueError)
    ├── DataError      questions, images or answers that cannot be used (ValueError)
    ├── RunError       a run folder that is missing, foreign or occupied (RuntimeError)
    ├── ModelError     a model that cannot be loaded or cannot do the job (RuntimeError)
    ├── EngineError    a rollout engine or endpoint that failed (RuntimeError)
    │   └── RefusedError   one request that a server will not answer; others it may
    └── TrainingError  training that must stop: no signal, not finite (RuntimeError)

A message says what was given, why it cannot work, and what to do.
"""


class ObserveError(Exception):
    """Root of everything raised on purpose."""


class ConfigError(ObserveError, ValueError):
    """A recipe, key, value or combination that cannot work."""


class DataError(ObserveError, ValueError):
    """Questions, images or answers that cannot be used."""


class RunError(ObserveError, RuntimeError):
    """A run folder that is missing, foreign, or already holds a run."""


class ModelError(ObserveError, RuntimeError):
    """A model that cannot be loaded or cannot do the job."""


class EngineError(ObserveError, RuntimeError):
    """A rollout engine or endpoint that failed."""


class RefusedError(EngineError):
    """One request that a server will not answer, however often it is sent; others it may."""


class TrainingError(ObserveError, RuntimeError):
    """Training that must stop: no signal for too long, or numbers that are not finite."""
