"""The sampling engine: samples many texts at once, in native code or in torch.

A batch of slots steps together. Each slot holds one text, and takes the next text when it ends.

Importing torch takes longer than drawing a few texts, and some of these modules work without it:
`packed` reads a model that was packed before, `opening` runs it, and `texts` decodes the tokens.
So the package itself imports nothing; import its modules.
"""
