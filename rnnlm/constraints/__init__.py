"""Constraints on texts (grammars, strings), compiled to one table that the sampling loop reads."""

from rnnlm.constraints.automaton import Automaton
from rnnlm.constraints.compiling import compile_constraints, stop_pattern
from rnnlm.constraints.healing import Rules, rules_of

__all__ = ["Automaton", "Rules", "compile_constraints", "rules_of", "stop_pattern"]
