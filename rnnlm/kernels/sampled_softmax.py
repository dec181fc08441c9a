"""The cross-entropy over a random sample of the vocabulary, for tens of thousands of words.

With such a vocabulary, the softmax over all words takes most of the time of training. Here the
softmax of a training step is computed only over the target and a sample of the words. With s_y the
logit of the target, sᵢ that of word i, and πᵢ the probability that word i is in the sample, the
loss is

    −log ŷ ≈ log(e^s_y + Σ over sampled i ≠ y of e^(sᵢ − log πᵢ)) − s_y

The argument of the logarithm has the same expected value as the sum over the whole vocabulary.

Source: importance sampling, Bengio and Senécal 2008; one sample for many targets, Jean et al. 2015.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnlm.kernels.autocast import apply
from rnnlm.kernels.cross_entropy import LOGITS_AT_ONCE


def sampled_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    counts: Tensor,
    sample: Tensor,
    log_shares: Tensor,
) -> Tensor:
    """Return the estimated cross-entropy in nats, summed over targets that are not masked out.

    It can be differentiated once, with respect to the first three arguments.

    Args:
        features: Inputs of the output layer, shape (rows, size).
        weight: Matrix of the output layer, shape (vocab, size).
        bias: Bias of the output layer, shape (vocab,).
        targets: Target ids, shape (rows,).
        counts: Mask of shape (rows,), False where a target is only padding.
        sample: Distinct ids of the sampled words, shape (sampled,).
        log_shares: Natural logarithm of π for each sampled word, shape (sampled,).
    """
    given = features, weight, bias, targets, counts, sample, log_shares
    loss: Tensor = apply(_SampledCrossEntropy, weight, *given)
    return loss


class _SampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        counts: Tensor,
        sample: Tensor,
        log_shares: Tensor,
        products: torch.dtype,
    ) -> Tensor:
        factors, matrix = features.to(products), weight[sample].to(products)
        offsets = (bias[sample] - log_shares).to(products)
        places = targets.new_full((len(weight),), -1)
        places[sample] = torch.arange(len(sample), device=sample.device)
        own = weight[targets].to(products)
        scores = (factors.to(weight.dtype) * own.to(weight.dtype)).sum(dim=1) + bias[targets]
        grad_features = torch.empty_like(features)
        grad_matrix = weight.new_zeros(matrix.shape)
        grad_offsets = weight.new_zeros(len(sample))
        grad_scores = torch.empty_like(scores)
        loss = weight.new_zeros(())
        at_once = max(1, LOGITS_AT_ONCE[weight.device.type] // max(1, len(sample)))
        for start in range(0, len(features), at_once):
            rows = slice(start, start + at_once)
            logits = torch.addmm(offsets, factors[rows], matrix.t()).to(weight.dtype)
            place = places[targets[rows]]
            hit = (place >= 0).nonzero()[:, 0]
            logits[hit, place[hit]] = -torch.inf
            whole = torch.logaddexp(logits.logsumexp(dim=1), scores[rows])
            left_out = ~counts[rows]
            loss += (whole - scores[rows]).masked_fill_(left_out, 0.0).sum()
            grads = logits.sub_(whole[:, None]).exp_().masked_fill_(left_out[:, None], 0.0)
            grad_scores[rows] = ((scores[rows] - whole).exp() - 1.0).masked_fill_(left_out, 0.0)
            rounded = grads.to(products)
            grad_features[rows] = torch.mm(rounded, matrix)
            grad_matrix.add_(torch.mm(rounded.t(), factors[rows]))
            grad_offsets.add_(grads.sum(dim=0))
        grad_features.add_(grad_scores[:, None] * own)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        grad_weight[sample] = grad_matrix
        grad_bias[sample] = grad_offsets
        grad_weight.index_add_(0, targets, grad_scores[:, None] * factors.to(weight.dtype))
        grad_bias.index_add_(0, targets, grad_scores)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = (part * grad_loss for part in ctx.saved_tensors)
        return features, weight, bias, None, None, None, None, None
