"""What texts must be: grammars and strings, compiled to one table that the sampling loop reads."""

from rnnlm.generation.constraints.automaton import Automaton
from rnnlm.generation.constraints.compiling import compile_constraints, stop_pattern

__all__ = ["Automaton", "compile_constraints", "stop_pattern"]
