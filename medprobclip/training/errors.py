"""What a training that cannot start, resume or go on raises."""


class TrainingError(RuntimeError):
    """Training cannot start, resume or go on; the message says what to do."""
