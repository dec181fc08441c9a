"""Constraints on generated texts: grammars, and banned, required and stop strings.

They are compiled to one table of states and tokens. The sampling loop reads in it which tokens may
come next.
"""

from rnnlm.constraints.automaton import Automaton
from rnnlm.constraints.compiling import compile_constraints, stop_pattern
from rnnlm.constraints.healing import Rules, rules_of

__all__ = ["Automaton", "Rules", "compile_constraints", "rules_of", "stop_pattern"]
