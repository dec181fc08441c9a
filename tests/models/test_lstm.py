import torch

from rnnlm.config import ModelConfig
from rnnlm.models.lstm import LSTMLayer


def test_a_step_follows_the_equations_in_the_docstring():
    torch.manual_seed(0)
    layer, size = LSTMLayer(4, 5, ModelConfig()).double(), 5
    hidden, cell = torch.zeros(2, 5).double(), torch.zeros(2, 5).double()
    inputs = torch.randn(9, 2, 4).double()
    expected = []
    for x in inputs:
        gates = x @ layer.W.T + hidden @ layer.U.T + layer.b
        i, f, g, o = (gates[:, n * size : (n + 1) * size] for n in range(4))
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        expected.append(hidden)
    outputs, state = layer(inputs, tuple(torch.zeros(2, 5).double() for _ in range(2)))
    torch.testing.assert_close(outputs, torch.stack(expected))
    torch.testing.assert_close(state, (hidden, cell))


def test_forget_gates_start_open():
    assert (LSTMLayer(3, 5, ModelConfig()).b[5:10] == 1).all()
