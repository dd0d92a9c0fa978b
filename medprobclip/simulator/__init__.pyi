# Names to take from the package itself, each loaded when it is first used.
from .findings import RULES as RULES
from .showcase import choose_examples as choose_examples, show_examples as show_examples
from .simulate import SimulationConfig as SimulationConfig, simulate_study as simulate_study

__all__: list[str]
