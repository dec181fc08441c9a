"""Fast code for training and sampling: recurrent layers, output losses, and sampling of many texts.

There are three parts:

- `simple`, `gru`, `lstm` and `cudnn` run a recurrent layer over all time steps of a window, which
  is the tokens of one training step. With native code, the LSTM is faster on a CPU than `nn.LSTM`.
- `cross_entropy` computes the loss of the output layer in less memory than plain torch.
  `sampled_softmax` does so over a sample of the vocabulary, which takes less time.
- `slots` runs the time steps of sampling for many texts together.

The functions `simple_layer`, `gru_layer` and `lstm_layer` do not get the inputs x themselves, but
the products W x + b for all time steps. The caller computes these with one matrix product. For the
first layer of a language model it can instead look them up by token in a table:
`embedding(ids, W @ E.T + b)`. The backward passes are written by hand: a loop backwards over time,
then one matrix product over all time steps and lanes (rows of the batch) for the gradient of the
recurrent weight.

Time is the first dimension here, unlike elsewhere in this package, because shape (time, batch,
features) makes each time step contiguous in memory.

All of this works in plain torch, on any device and in any precision. If the package was built with
a C compiler, an LSTM of 32-bit floats on a CPU runs in `recurrence.c` instead (see `recurrence`).
Without native code, `nn.LSTM` is faster than the LSTM here; `nn.GRU` is always faster than the GRU
here. Within CPU autocast to bfloat16, the factors of matrix products are rounded to bfloat16, while
sums and LSTM cells stay in 32 bits.

The package itself imports nothing, because `slots` and `native` are used without torch; import its
modules.
"""
