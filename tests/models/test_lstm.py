import torch

from rnnlm.config import ModelConfig
from rnnlm.models.lstm import LSTMLanguageModel


def test_a_step_is_the_equations_in_the_docstring():
    torch.manual_seed(0)
    model = LSTMLanguageModel(ModelConfig(embedding_size=4, hidden_size=5), 7).eval().double()
    lstm, size = model.lstm, 5
    hidden, cell = torch.zeros(5).double(), torch.zeros(5).double()
    inputs = torch.randint(0, 7, (1, 9))
    expected = []
    for token in inputs[0]:
        gates = (
            lstm.weight_ih_l0 @ model.embedding.weight[token]
            + lstm.weight_hh_l0 @ hidden
            + lstm.bias_ih_l0
            + lstm.bias_hh_l0
        )
        i, f, g, o = (gates[n * size : (n + 1) * size] for n in range(4))
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        expected.append(model.output(hidden))
    logits, _ = model(inputs, model.initial_state(1))
    torch.testing.assert_close(logits[0], torch.stack(expected))


def test_forget_gates_start_open():
    model = LSTMLanguageModel(ModelConfig(hidden_size=5, num_layers=2), 7)
    for layer in range(2):
        assert (getattr(model.lstm, f"bias_ih_l{layer}")[5:10] == 1).all()
