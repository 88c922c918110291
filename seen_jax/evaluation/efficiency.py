"""Activity -> operations and an estimate of energy, against dense networks.

What a reader would get wrong: the estimate is of arithmetic alone. Moving weights and
membranes in memory costs more than that on most machines, and a GPU or CPU that
multiplies by zeros saves nothing. It compares networks, it predicts no battery.

Reference: M. Horowitz, "1.1 Computing's energy problem (and what we can do about it)",
ISSCC 2014 Digest of Technical Papers, pp. 10-14, doi:10.1109/ISSCC.2014.6757323. Its
figure 1.1.9, "Rough energy costs for various operations in 45nm 0.9V", has no
multiply-accumulate: here it is the sum. A cache access is 10 to 100 pJ in it, one of
DRAM 1.3 to 2.6 nJ.
"""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from seen_jax.evaluation.activity import MOST, NEURONS, SYNAPSES, Activity

MULTIPLY_PJ, ADD_PJ = 3.7, 0.9  # 32-bit floating point
MAC_PJ = MULTIPLY_PJ + ADD_PJ
SOURCE = (
    'M. Horowitz, "Computing\'s energy problem", ISSCC 2014, figure 1.1.9, rough costs '
    f"in 45 nm, 0.9 V: float32 multiplication {MULTIPLY_PJ} pJ, addition {ADD_PJ} pJ"
)
LEFT_OUT = (
    "A neuron's update is counted as one multiply-accumulate; its comparison and reset "
    "are left out, and so are bias, softmax and normalisation. Moving data is not in "
    "it, and dominates on most machines."
)
WIDTH = 79  # of lines of text


@dataclass(frozen=True)
class Efficiency:
    """Of one window, mean over the clips.

    Attributes:
      num_parameters: of the network.
      num_clips: that were observed.
      macs: of all layers, were every input dense.
      layer_macs: those in layers that spikes arrive at.
      operations: accumulates that spikes caused there, by layer.
      neuron_updates: each a multiplication and an addition, of LIF1 to LIF5 and J_s.
      spatial_rate: share of J_s that fires.
      rates: (T, 5), share of LIF1 to LIF5 that fires, by time step.
      num_steps: T.
    """

    num_parameters: int
    num_clips: int
    macs: int
    layer_macs: dict[str, int]
    operations: dict[str, float]
    neuron_updates: int
    spatial_rate: float
    rates: np.ndarray
    num_steps: int

    @property
    def spiking_macs(self) -> int:
        return sum(self.layer_macs.values())

    @property
    def image_energy_uj(self) -> float:
        """Of the layers that read images: S up to J_s, and T's first stage."""
        return 1e-6 * (self.macs - self.spiking_macs) * MAC_PJ

    @property
    def energy_uj(self) -> float:
        """Dense layers and neurons multiply; layers that spikes arrive at only add."""
        added = sum(self.operations.values())
        spiking = self.neuron_updates * MAC_PJ + added * ADD_PJ
        return self.image_energy_uj + 1e-6 * spiking

    @property
    def dense_energy_uj(self) -> float:
        """The same layers on dense inputs, without neurons."""
        return 1e-6 * self.macs * MAC_PJ

    @property
    def spikes_per_input(self) -> float:
        """Operations per dense multiply-accumulate: the mean rate that layers see."""
        return sum(self.operations.values()) / self.spiking_macs

    @property
    def most_spikes_per_input(self) -> float:
        """Were all neurons to fire at every step; fc1 then sees 2, of LIF3 and J_s."""
        macs = np.array([*self.layer_macs.values()])
        return float((macs * MOST).sum() / macs.sum())

    def break_even(self, dense_passes: int) -> float:
        """Returns the rate at which the spiking layers cost as much as dense ones.

        Args:
          dense_passes: how often the dense network runs in a window: T when it too
            reads one event frame at a time, 1 when it reads all at once.

        Returns:
          Spikes per input and time step; it cannot be reached where it is above
          `most_spikes_per_input`.
        """
        dense = self.spiking_macs * dense_passes / self.num_steps
        return (dense - self.neuron_updates) * MAC_PJ / (self.spiking_macs * ADD_PJ)


def estimate(activity: Activity, num_parameters: int, macs: int) -> Efficiency:
    """Takes the means over the clips.

    Args:
      activity: of the observed clips.
      num_parameters: of the network.
      macs: of a window, dense.
    """
    num_clips, num_steps = activity.rates.shape[:2]
    sizes = activity.num_neurons.tolist()
    operations = activity.operations.astype(np.float64).sum(axis=1).mean(axis=0)
    layer_macs = (num_steps * activity.step_macs.astype(np.int64)).tolist()
    assert sum(layer_macs) <= macs, f"{layer_macs} in {macs}: not of the same network"
    return Efficiency(
        num_parameters=num_parameters,
        num_clips=num_clips,
        macs=macs,
        layer_macs=dict(zip(SYNAPSES, layer_macs, strict=True)),
        operations=dict(zip(SYNAPSES, operations.tolist(), strict=True)),
        neuron_updates=sum(sizes) * num_steps + sizes[2],  # J_s is as large as LIF3
        spatial_rate=float(activity.spatial_rate.mean()),
        rates=activity.rates.mean(axis=0),
        num_steps=num_steps,
    )


def to_json(found: Efficiency) -> dict[str, Any]:
    """Returns all numbers, with the constants."""
    facts = dataclasses.asdict(found) | {"rates": found.rates.tolist()}
    names = ("spiking_macs", "energy_uj", "image_energy_uj", "dense_energy_uj")
    names += ("spikes_per_input", "most_spikes_per_input")
    return facts | {
        **{name: getattr(found, name) for name in names},
        "break_even_frame_by_frame": found.break_even(found.num_steps),
        "break_even_all_at_once": found.break_even(1),
        "mac_pj": MAC_PJ,
        "add_pj": ADD_PJ,
        "source": SOURCE,
    }


def is_form(facts: Any) -> bool:
    """Whether `to_text` can say it, as of what `to_json` returned."""
    try:
        return bool(to_text(facts))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def to_text(facts: dict[str, Any]) -> str:
    """Says what `to_json` returned."""
    total = sum(facts["operations"].values())
    dense = facts["macs"] - facts["spiking_macs"]
    share = 100 * facts["image_energy_uj"] / facts["energy_uj"]
    lines = [
        f"Efficiency, of one window, mean over {facts['num_clips']:,} clips of the "
        "first pass",
        "(of a split with more, so many were drawn by the seed)",
        *_wrapped(
            f"{facts['num_parameters']:,} parameters, {facts['macs'] / 1e6:,.1f} M "
            f"multiply-accumulates if dense: {dense / 1e6:,.1f} M in layers on "
            "images (S up to J_s, the first stage of T), "
            f"{facts['spiking_macs'] / 1e6:,.1f} M where spikes arrive"
        ),
        "",
        "spikes per neuron   " + "".join(f"{f't={t}':>7}" for t in _steps(facts)),
        f"{NEURONS[0]:<20}{facts['spatial_rate']:7.4f}",
    ]
    for name, row in zip(NEURONS[1:], np.transpose(facts["rates"]), strict=True):
        lines.append(f"{name:<20}" + "".join(f"{x:7.4f}" for x in row))
    lines += ["", f"{'synaptic operations, M':<24}{'spikes':>10}{'dense':>10}"]
    for name, count in facts["operations"].items():
        macs = facts["layer_macs"][name]
        source = f"{name} from {SYNAPSES[name]}"
        lines.append(f"{source:<24}{count / 1e6:10.3f}{macs / 1e6:10.3f}")
    lines += [
        f"{'all':<24}{total / 1e6:10.3f}{facts['spiking_macs'] / 1e6:10.3f}",
        "",
        *_wrapped(
            f"Energy of the arithmetic, estimated: {facts['energy_uj']:,.0f} uJ, of "
            f"which {share:.0f} % in the layers on images; dense "
            f"{facts['dense_energy_uj']:,.0f} uJ ({facts['mac_pj']:.1f} pJ a "
            f"multiply-accumulate, {facts['add_pj']:.1f} pJ an addition). {LEFT_OUT}"
        ),
        *_wrapped(facts["source"], "  "),
        "",
        *_wrapped(
            "The layers where spikes arrive see "
            f"{facts['spikes_per_input']:.4f} spikes per input and step. They would "
            "lose"
        ),
        *_wrapped(
            f"{_loses(facts, 'frame_by_frame')}, to a dense network that reads one "
            "event frame at a time;",
            "  ",
        ),
        *_wrapped(
            f"{_loses(facts, 'all_at_once')}, to one of the same layers that reads all "
            "of them at once.",
            "  ",
        ),
    ]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _steps(facts: dict[str, Any]) -> range:
    return range(1, facts["num_steps"] + 1)


def _loses(facts: dict[str, Any], way: str) -> str:
    rate, most = facts[f"break_even_{way}"], facts["most_spikes_per_input"]
    if rate > most:
        return f"never (above {rate:.2f}; all neurons together give {most:.2f})"
    return f"above {rate:.2f}" if rate > 0 else "at any rate"
