"""The recurrent layers' own time loops: what `nn.LSTM` computes on a CPU, in less time.

And the output layer's loss, in less memory (see `cross_entropy`) and, over a sample of the
vocabulary, in less time (see `sampled_softmax`), and the steps of many texts that
are generated together (see `slots`).

A layer is one function from the input product of all time steps, biases included, to the outputs.
The caller makes that product at once for the whole window, or looks it up in a table where the
inputs are one-hot: `embedding(ids, W @ E.T + b)` for the first layer of a language model. Backward
is written by hand: one loop back over time, and then one product for the recurrent weight's
gradient over all steps and lanes.

Time comes first here, unlike elsewhere in this package: (time, batch, features) makes each step a
contiguous slab of memory.

Everything works in plain torch, on any device and in any precision. Where the package was built
with a C compiler, an LSTM of 32-bit floats on a CPU goes through `recurrence.c` (see `native`);
without it `nn.LSTM` is the faster one, as `nn.GRU` is in any case. Within CPU
autocast to bfloat16 the products round their factors to bfloat16; sums and cells stay in 32 bits.
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
