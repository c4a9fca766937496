"""What the ballots of a tally are shown, drawn where the network is.

Retained sets are those of `designs/subsets.py`, bit for bit, on every device: a CPU runs the code
there, an accelerator the operations on integer tensors here. Whatever else a design draws is drawn
on the CPU, and copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sparsecert.designs.design import Design
from sparsecert.designs.subsets import check_drawable, draw_subsets, num_blocks, num_drawn
from sparsecert.designs.uniform import UniformAblation
from sparsecert.streams.samples import WORDS_PER_BLOCK, Samples, SampleStream

# Philox4x64-10 (Salmon et al. 2011): multipliers, and what is added to the key after each round.
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOWER = 2**32 - 1


class Drawing:
    """Draws for the ballots of some inputs, those of an input one after the other.

    Args:
        design: draws.
        streams: the samples of each input.
        num_samples: ballots per input.
        first: number of each input's first sample.
        device: where.
    """

    def __init__(
        self,
        design: Design,
        streams: Sequence[SampleStream],
        num_samples: int,
        first: int,
        device: torch.device,
    ) -> None:
        self.design, self.device = design, device
        self.streams, self.num_samples, self.first = streams, num_samples, first

    def __call__(self, start: int, stop: int) -> Tensor:
        """`(stop - start, entries)` of the ballots from `start` up to `stop`, on the device."""
        if self.device.type != "cpu" and isinstance(self.design, UniformAblation):
            return self.retained_sets(self.design, start, stop)
        drawn = self.design.draw(self._samples(start, stop))
        return torch.from_numpy(drawn).to(self.device)

    def retained_sets(self, ablation: UniformAblation, start: int, stop: int) -> Tensor:
        """The same as integer operations on tensors; the host waits for the device once."""
        ballots = torch.arange(start, stop, device=self.device)
        names = self._names[ballots // self.num_samples]
        numbers = self.first + ballots % self.num_samples
        d, k = ablation.num_features, ablation.num_retained
        mask, is_complete = device_subsets(device_words(names, numbers, num_blocks(d, k)), d, k)
        if not is_complete.all():
            # Next to never: part 0 of a sample was too short. These few come from the CPU.
            for ballot in (~is_complete).nonzero().flatten().tolist():
                drawn = draw_subsets(self._samples(start + ballot, start + ballot + 1), d, k)
                mask[ballot] = torch.from_numpy(drawn[0]).to(self.device)
        if ablation.owner is None:
            return mask
        owner = torch.from_numpy(ablation.owner).to(self.device)
        return mask[:, owner.clamp(min=0)] | (owner < 0)

    def inputs(self, start: int, stop: int) -> tuple[int, int]:
        """The first input with ballots among these, and the one after the last."""
        return start // self.num_samples, (stop - 1) // self.num_samples + 1

    @cached_property
    def _names(self) -> Int64[Tensor, "inputs 4"]:
        """Halves of the key and of the upper half of the counter, lower ones first."""
        halves = [
            [_signed(part >> shift) for part in (stream.key, stream.upper) for shift in (0, 64)]
            for stream in self.streams
        ]
        return torch.tensor(halves, device=self.device)

    def _samples(self, start: int, stop: int) -> Samples:
        runs, each = [], self.num_samples
        for row in range(*self.inputs(start, stop)):
            low, high = max(start - row * each, 0), min(stop - row * each, each)
            runs.append((self.streams[row], self.first + low, high - low))
        return Samples(tuple(runs))


def device_words(names: Tensor, numbers: Tensor, blocks: int) -> Int64[Tensor, "samples words"]:
    """The words of 64 bits of part 0 of samples; those of `SampleStream.words`.

    Args:
        names: `(samples, 4)` halves of the key and of the upper half of the counter.
        numbers: `(samples,)` of the samples in their streams.
        blocks: of a part.
    """
    low_key, high_key, low_upper, high_upper = names.T[:, :, None]
    place = numbers[:, None] * blocks + torch.arange(blocks, device=numbers.device)
    counter = (place, torch.zeros_like(place), low_upper, high_upper)
    words = torch.stack(philox4x64(counter, (low_key, high_key)), dim=2)
    return words.view(len(names), blocks * WORDS_PER_BLOCK)


def philox4x64(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x64-10 of 256-bit counters and 128-bit keys, in words of 64 bits, lowest first.

    Tensors are int64, whose bits are read as unsigned: sums and products modulo 2^64 are the same.
    """
    (a, b, c, d), (low_key, high_key) = counter, key
    for number in range(_ROUNDS):
        if number:
            low_key, high_key = low_key + _signed(_KEY_STEPS[0]), high_key + _signed(_KEY_STEPS[1])
        (high_a, low_a), (high_c, low_c) = map(_product, (a, c), _MULTIPLIERS)
        a, b, c, d = high_c ^ b ^ low_key, low_c, high_a ^ d ^ high_key, low_a
    return a, b, c, d


def device_subsets(
    words: Int64[Tensor, "samples words"], d: int, k: int
) -> tuple[Bool[Tensor, "samples {d}"], Bool[Tensor, " samples"]]:
    """The retained sets that `draw_subsets` draws from these words, and whether they sufficed.

    A stable sort of a sample's draws puts equal ones side by side in their order, so the first of
    each is known; the first m of these that come up are the set. The host need not wait.

    Args:
        words: of part 0, of 64 bits.
        d: features.
        k: retained features.
    """
    check_drawable(d)
    size, m = len(words), num_drawn(d, k)
    halves = torch.stack((words & _LOWER, _upper(words)), dim=2).view(size, -1)
    product = halves * d
    # d stands for "no feature".
    feature = torch.where(product & _LOWER < 2**32 % d, d, _upper(product))
    few_bits = torch.int16 if d < 2**15 else torch.int32  # which are sorted sooner
    ordered, order = feature.to(few_bits).sort(dim=1, stable=True)
    is_first = ordered < d
    is_first[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    is_new = torch.zeros_like(is_first).scatter_(1, order, is_first)
    found = is_new.cumsum(dim=1)
    start = torch.arange(size, device=words.device)[:, None] * d
    # One entry more than there are features, for those draws that do not count.
    place = torch.where(is_new & (found <= m), start + feature, size * d)
    member = torch.zeros(size * d + 1, dtype=torch.bool, device=words.device)
    mask = member.index_fill_(0, place.flatten(), True)[:-1].view(size, d)
    return (mask if m == k else ~mask), found[:, -1] >= m


def _product(number: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Upper and lower 64 bits of the product of unsigned numbers of 64 bits.

    From four products of 32 bits by 32. Their sum in the middle is below 2^64: at most
    (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
    """
    low, high, by_low, by_high = number & _LOWER, _upper(number), by & _LOWER, by >> 32
    across = low * by_high
    middle = _upper(low * by_low) + (across & _LOWER) + high * by_low
    return high * by_high + _upper(across) + _upper(middle), number * _signed(by)


def _upper(number: Tensor) -> Tensor:
    """The upper 32 bits of 64; shifting alone would keep the sign."""
    return (number >> 32) & _LOWER


def _signed(number: int) -> int:
    """The lower 64 bits as torch takes them."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number
