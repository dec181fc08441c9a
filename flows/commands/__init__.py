"""The commands of `rnnlm`, by what they are about. Heavy imports happen inside them."""
