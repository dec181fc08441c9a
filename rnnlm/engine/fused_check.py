"""Check the fused engine against the torch engine while it takes its first steps.

The kernels of `rnnlm.engine.fused` are compiled on the user's machine, for a GPU and by a version
of Triton on which they may never have run. So both engines compute the first steps; if they
disagree, or if the kernels do not run at all, torch draws all texts, and a warning says why.

In each step, torch computes the logits for the tokens that the fused engine was fed, and then draws
from the fused engine's logits. With 8 bits, the logits must be equal; with more bits, sums are
rounded differently. What is drawn from the same logits, and what is kept for each slot, must be
equal at any precision, because integers decide it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm.engine import fused as engine
from rnnlm.engine.fused import FusedSlots
from rnnlm.engine.stepping import NetworkSteps
from rnnlm.engine.torch_slots import TorchSlots
from rnnlm.kernels.slots import FORBIDDEN, EndedTexts, NumpyNetwork, SlotSettings, in_order

MOST_APART = {torch.int8: 0.0, torch.bfloat16: 0.05, torch.float32: 1e-3}
"""By the type of weights, how far a logit may be from torch's, as a share of the largest logit of
the step, which counts as at least 1."""


class CheckedSlots:
    """Fused slots that are checked when they are first used; `fill` and `run` change them."""

    def __init__(
        self,
        network: NumpyNetwork,
        settings: SlotSettings,
        slots: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        device: torch.device,
    ) -> None:
        """Create idle slots; for the arguments, see `rnnlm.engine.fused.FusedSlots`."""
        self._network, self._slots, self._device = network, slots, device

        def plain(steps: NetworkSteps | _Given) -> TorchSlots:
            how = settings, slots, seed, prefixes
            return TorchSlots(steps, network.vocab_size, *how, device=device)

        def fused() -> FusedSlots:
            return FusedSlots(network, settings, slots, seed, prefixes, device=device)

        self._plain, self._fused = plain, fused
        self._opened: FusedSlots | TorchSlots | None = None
        self._texts = (0, 0)
        self._early = EndedTexts.joined([])

    def fill(self, first: int, count: int) -> None:
        """Set the texts that `run` samples next; all texts of an earlier call must have ended."""
        self._texts = first, count
        if self._opened is not None:
            self._opened.fill(first, count)

    @property
    def is_done(self) -> bool:
        """Whether all texts given to `fill` have ended and were returned."""
        if self._opened is None:
            return not self._texts[1]
        return self._opened.is_done and not len(self._early.numbers)

    def run(self, steps: int) -> EndedTexts:
        """Run at most `steps` steps; return the texts that ended. The first call checks some."""
        if self._opened is None:
            self._opened = self._checked()
        early, self._early = self._early, EndedTexts.joined([])
        return EndedTexts.joined([early, self._opened.run(steps)])

    def _checked(self) -> FusedSlots | TorchSlots:
        try:
            fused = self._fused()
            fused.fill(*self._texts)
            fault = self._fault(fused)
        except Exception as error:  # noqa: BLE001 - whatever fails here, torch can draw the texts
            fault = f"{type(error).__name__}: {error}".partition("\n")[0]
        if not fault:
            return fused
        logging.getLogger(__name__).warning(
            "the fused GPU kernels do not work here (%s); drawing with torch, which is slower",
            fault,
        )
        plain = self._plain(NetworkSteps(self._network, self._slots, self._device))
        plain.fill(*self._texts)
        return plain

    def _fault(self, fused: FusedSlots) -> str:
        """Take the fused engine's first steps; return what is wrong with them, or nothing."""
        given = _Given(lambda: fused.logits[: self._slots, : self._network.vocab_size])
        follower = self._plain(given)
        follower.fill(*self._texts)
        reference = NetworkSteps(self._network, self._slots, self._device)
        expected = []
        for step in range(1, engine.BURST + 1):
            is_live = follower.whole[0] >= 0
            logits = reference.step(fused.whole[1, : self._slots])
            fused.step()
            if not self._are_close(given.step(), logits, is_live):
                return f"the logits of step {step} are wrong"
            follower.advance()
            slots = follower.is_over.nonzero()[:, 0]
            expected.extend(follower.take_out())
            begun = fused.whole[0, slots]
            if not torch.equal(begun.sort().values, follower.whole[0, slots].sort().values):
                return f"the texts that begin after step {step} are wrong"
            follower.give(slots, begun)  # texts may begin in other slots than here
            reference.reset(slots)
            if not _keep_the_same(fused, follower):
                return f"a token drawn in step {step} is wrong"
        early = fused.end_burst()
        if not _are_equal(in_order([early]), in_order(expected)):
            return f"the texts that ended in the first {engine.BURST} steps are wrong"
        self._early = early
        return ""

    def _are_close(self, ours: Tensor, theirs: Tensor, is_live: Tensor) -> bool:
        share = MOST_APART[_TYPES[self._network.matrix.dtype.name]]
        possible = theirs > FORBIDDEN / 2
        most = share * theirs.where(possible, 0.0).abs().amax(dim=1, keepdim=True).clamp(min=1.0)
        is_close = ((ours - theirs).abs() <= most) & ((ours > FORBIDDEN / 2) == possible)
        return bool((is_close.all(dim=1) | ~is_live).all())


class _Given:
    """Steps whose logits are those that another engine has computed."""

    def __init__(self, logits: Callable[[], Tensor]) -> None:
        self._logits = logits

    def step(self, tokens: Tensor | None = None) -> Tensor:  # noqa: ARG002
        return self._logits().clone()

    def reset(self, slots: Tensor) -> None:
        """Do nothing: the other engine resets its own state."""


_TYPES = {"int8": torch.int8, "uint16": torch.bfloat16, "float32": torch.float32}


def _keep_the_same(fused: FusedSlots, follower: TorchSlots) -> bool:
    """Return whether both engines keep the same numbers and tokens for each slot with a text."""
    whole, real = follower.whole, follower.real
    slots = whole.shape[1]
    is_live = whole[0] >= 0
    same = (fused.whole[:, :slots] == whole).all(dim=0) & (fused.real[:, :slots] == real).all(dim=0)
    places = torch.arange(min(engine.BURST, follower.tokens.shape[1]), device=whole.device)
    is_token = places < whole[2][:, None]
    parts = (tokens[:slots, : len(places)] for tokens in (fused.tokens, follower.tokens))
    same &= (torch.eq(*parts) | ~is_token).all(dim=1)
    return bool((same | ~is_live).all())


def _are_equal(ours: EndedTexts, theirs: EndedTexts) -> bool:
    pairs = zip(vars(ours).values(), vars(theirs).values(), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)
