"""Commands of `rnnlm`, grouped by subject. Heavy imports happen inside the commands."""
