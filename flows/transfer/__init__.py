"""Move a version of a model, with its history, from one home to another as one archive.

`contents` says what the archive holds, `exporting` writes it, and `importing` registers it.
"""
