"""The sampling engine: samples many texts at once, in native code or in torch.

A batch of slots steps together. Each slot holds one text, and takes the next text when it ends.

Two of the ways to sample need no torch, which takes longer to import than a few texts take to draw:
`packed` reads a model that was packed before, and `texts` decodes what was drawn. So this package
imports nothing: import the modules.
"""
