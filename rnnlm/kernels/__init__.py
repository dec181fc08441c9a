"""Fast code for training and sampling: time loops, output losses, and steps of many texts.

The time loops of the recurrent layers compute what `nn.LSTM` does on a CPU, in less time. The
output layer's loss takes less memory (see `cross_entropy`) and, over a sample of the vocabulary,
less time (see `sampled_softmax`). `slots` steps many texts that are generated together.

A layer is one function from the input product of all time steps, including biases, to the outputs.
The caller computes that product at once for the whole window or, for one-hot inputs, looks it up in
a table: `embedding(ids, W @ E.T + b)` for the first layer of a language model. The backward pass is
written by hand: one loop back over time, then one product over all steps and lanes for the gradient
of the recurrent weight.

Time is the first dimension here, unlike elsewhere in this package: (time, batch, features) makes
each step contiguous in memory.

Everything works in plain torch, on any device and in any precision. If the package was built with a
C compiler, an LSTM of 32-bit floats on a CPU runs in `recurrence.c` (see `native`). Without it,
`nn.LSTM` is faster than the LSTM here; `nn.GRU` is faster than the GRU here in any case. Within CPU
autocast to bfloat16, products round their factors to bfloat16; sums and cells stay in 32 bits.
"""

from rnnlm.kernels.cross_entropy import linear_cross_entropy
from rnnlm.kernels.cudnn import cudnn_layer
from rnnlm.kernels.gru import gru_layer
from rnnlm.kernels.lstm import lstm_layer
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.kernels.native import native_available
from rnnlm.kernels.sampled_softmax import sampled_cross_entropy
from rnnlm.kernels.simple import simple_layer

__all__ = [
    "cudnn_layer",
    "gru_layer",
    "keep_freed_memory",
    "linear_cross_entropy",
    "lstm_layer",
    "native_available",
    "sampled_cross_entropy",
    "simple_layer",
]
