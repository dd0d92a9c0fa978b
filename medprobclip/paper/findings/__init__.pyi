# Names to take from the package itself, each loaded when it is first used.
from . import (
    doubt as doubt,
    faults as faults,
    promises as promises,
    retrieval as retrieval,
    training as training,
)
from .headlines import headline as headline, say as say, tell as tell, tell_details as tell_details

__all__: list[str]
