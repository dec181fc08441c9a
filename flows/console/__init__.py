"""Console output: lines, tables, swatches and bars; how a command ends."""
