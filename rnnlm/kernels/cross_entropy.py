"""The output layer and its cross-entropy loss in one function, which needs little memory.

In a word model, the logits would be by far the largest tensor: thousands of positions times tens of
thousands of words, and as much again for their logarithms and for their gradients. So this function
processes the positions in pieces, and holds only the logits of one piece. For each piece it
computes the logits, the loss and, while the logits are still in the processor's cache, the
gradients of the loss J,

    ∂J/∂logits = softmax(logits) − y,   y = (1 − ε) · one-hot + ε / |V|

where y is the target distribution, ε the label smoothing and |V| the size of the vocabulary. From
these it computes the gradients of features and weights already in the forward pass, so that the
backward pass only has to multiply them by the gradient of the loss.

Source: the gradient of the softmax, Bridle 1990; label smoothing ε, Szegedy et al. 2016; computing
gradients piece by piece in the forward pass, Hsu et al. 2024 (Liger kernels).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels.autocast import apply

LOGITS_AT_ONCE = {"cpu": 1 << 23, "cuda": 1 << 26}
"""Most logits that are held at once, by kind of device; as 32-bit floats, 1 << 23 of them take 32
megabytes. A GPU needs larger products to be busy; its number is not measured."""


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    counts: Tensor,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of targets, summed over those that are not masked out.

    The loss can be differentiated once, with respect to the first three arguments.

    Args:
        features: Inputs of the output layer, shape (rows, size).
        weight: Matrix of the output layer, shape (vocab, size).
        bias: Bias of the output layer, shape (vocab,).
        targets: Target ids, shape (rows,).
        counts: Mask of shape (rows,), False where a target is only padding.
        smoothing: Label smoothing ε.

    Returns:
        The loss with label smoothing, and the negative log-likelihood in nats without it, which has
        no gradient. Both are scalars.
    """
    given = features, weight, bias, targets, counts, smoothing, torch.is_grad_enabled()
    sums: tuple[Tensor, Tensor] = apply(_LinearCrossEntropy, weight, *given)
    return sums


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        counts: Tensor,
        smoothing: float,
        learns: bool,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        factors, matrix, offsets = (part.to(products) for part in (features, weight, bias))
        gradients = tuple(map(torch.zeros_like, (features, weight, bias))) if learns else ()
        loss, nll_nats = weight.new_zeros(()), weight.new_zeros(())
        at_once = max(1, LOGITS_AT_ONCE[weight.device.type] // len(weight))
        for start in range(0, len(features), at_once):
            rows = slice(start, start + at_once)
            logits = torch.addmm(offsets, factors[rows], matrix.t()).to(weight.dtype)
            whole = logits.logsumexp(dim=1, keepdim=True)
            wanted, left_out = targets[rows, None], ~counts[rows, None]
            nats = (whole - logits.gather(1, wanted)).masked_fill_(left_out, 0.0)
            nll_nats += nats.sum()
            if smoothing:
                even = (whole - logits.mean(dim=1, keepdim=True)).masked_fill_(left_out, 0.0)
                nats = (1.0 - smoothing) * nats + smoothing * even
            loss += nats.sum()
            if learns:
                grads = logits.sub_(whole).exp_()
                if smoothing:
                    grads -= smoothing / len(weight)
                grads.scatter_add_(1, wanted, torch.full_like(whole, smoothing - 1.0))
                grads.masked_fill_(left_out, 0.0)
                rounded = grads.to(products)
                gradients[0][rows] = torch.mm(rounded, matrix)
                gradients[1].add_(torch.mm(rounded.t(), factors[rows]))
                gradients[2].add_(grads.sum(dim=0))
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nll_nats)
        return loss, nll_nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = (part * grad_loss for part in ctx.saved_tensors)
        return features, weight, bias, None, None, None, None, None
