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
from dataclasses import dataclass
from typing import Any

import numpy as np

from seen_jax.evaluation.activity import NEURONS, SYNAPSES, Activity
from seen_jax.models.seen import STAGES

MULTIPLY_PJ, ADD_PJ = 3.7, 0.9  # 32-bit floating point
MAC_PJ = MULTIPLY_PJ + ADD_PJ
SOURCE = (
    'M. Horowitz, "Computing\'s energy problem", ISSCC 2014, figure 1.1.9, rough costs '
    f"in 45 nm, 0.9 V: float32 multiplication {MULTIPLY_PJ} pJ, addition {ADD_PJ} pJ"
)


@dataclass(frozen=True)
class Efficiency:
    """Of one window, mean over the clips.

    Attributes:
      num_parameters: of the network.
      macs: of all layers, were every input dense.
      spiking_macs: the part of them in layers that spikes arrive at.
      operations: accumulates that spikes caused there, by layer.
      neuron_updates: each a multiplication and an addition, of LIF1 to LIF5 and J_s.
      spatial_rate: share of J_s that fires.
      rates: (T, 5), share of LIF1 to LIF5 that fires, by time step.
      num_steps: T.
    """

    num_parameters: int
    macs: int
    spiking_macs: int
    operations: dict[str, float]
    neuron_updates: int
    spatial_rate: float
    rates: np.ndarray
    num_steps: int

    @property
    def energy_uj(self) -> float:
        """Dense layers and neurons multiply; layers that spikes arrive at only add."""
        multiplied = self.macs - self.spiking_macs + self.neuron_updates
        added = sum(self.operations.values())
        return 1e-6 * (multiplied * MAC_PJ + added * ADD_PJ)

    @property
    def dense_energy_uj(self) -> float:
        """The same layers on dense inputs, without neurons."""
        return 1e-6 * self.macs * MAC_PJ

    @property
    def spikes_per_input(self) -> float:
        """Operations per dense multiply-accumulate: the mean rate that layers see."""
        return sum(self.operations.values()) / self.spiking_macs

    def break_even(self, dense_passes: int) -> float:
        """Returns the rate at which the spiking layers cost as much as dense ones.

        Args:
          dense_passes: how often the dense network runs in a window: T when it too
            reads one event frame at a time, 1 when it reads all at once.

        Returns:
          Spikes per input and time step; above 1 it cannot be reached, since a neuron
          fires once a step at most.
        """
        dense = self.spiking_macs * dense_passes / self.num_steps
        return (dense - self.neuron_updates) * MAC_PJ / (self.spiking_macs * ADD_PJ)


def estimate(activity: Activity, num_parameters: int, macs: int) -> Efficiency:
    """Takes the means over the clips.

    Args:
      activity: of the evaluated clips.
      num_parameters: of the network.
      macs: of a window, dense.
    """
    num_steps = activity.rates.shape[1]
    _, lif2, lif3, lif4, lif5 = sizes = activity.num_neurons.tolist()
    step_macs = lif2 * _fan_in("conv2_f2", "conv1_cat")
    step_macs += lif3 * _fan_in("conv3_f2", "conv2_f2") + lif3 * lif4 + lif4 * lif5
    operations = activity.operations.astype(np.float64).sum(axis=1).mean(axis=0)
    return Efficiency(
        num_parameters=num_parameters,
        macs=macs,
        spiking_macs=step_macs * num_steps,
        operations=dict(zip(SYNAPSES, operations.tolist(), strict=True)),
        neuron_updates=sum(sizes) * num_steps + lif3,  # J_s is as large as LIF3
        spatial_rate=float(activity.spatial_rate.mean()),
        rates=activity.rates.mean(axis=0),
        num_steps=num_steps,
    )


def _fan_in(layer: str, before: str) -> int:
    """Counts the inputs of a neuron of a convolution, padding too."""
    return STAGES[layer][1] ** 2 * STAGES[before][0]


def to_json(found: Efficiency) -> dict[str, Any]:
    """Returns all numbers, with the constants."""
    facts = dataclasses.asdict(found) | {"rates": found.rates.tolist()}
    return facts | {
        "energy_uj": found.energy_uj,
        "dense_energy_uj": found.dense_energy_uj,
        "spikes_per_input": found.spikes_per_input,
        "break_even_frame_by_frame": found.break_even(found.num_steps),
        "break_even_all_at_once": found.break_even(1),
        "mac_pj": MAC_PJ,
        "add_pj": ADD_PJ,
        "source": SOURCE,
    }


def to_text(facts: dict[str, Any]) -> str:
    """Says what `to_json` returned."""
    total = sum(facts["operations"].values())
    dense = facts["macs"] - facts["spiking_macs"]
    lines = [
        "Efficiency, of one window, mean over the clips of the first pass",
        f"{facts['num_parameters']:,} parameters, {facts['macs'] / 1e6:,.1f} M "
        f"multiply-accumulates if dense: {dense / 1e6:,.1f} M on images, "
        f"{facts['spiking_macs'] / 1e6:,.1f} M where spikes arrive",
        "spikes per neuron   " + "".join(f"   t={t}" for t in _steps(facts)),
        f"{NEURONS[0]:<20}{facts['spatial_rate']:6.3f}",
    ]
    for name, row in zip(NEURONS[1:], np.transpose(facts["rates"]), strict=True):
        lines.append(f"{name:<20}" + "".join(f"{x:6.3f}" for x in row))
    lines.append("synaptic operations, M")
    for name, count in facts["operations"].items():
        lines.append(f"{name + ' from ' + SYNAPSES[name]:<22}{count / 1e6:10.3f}")
    share = 100 * total / facts["spiking_macs"]
    lines += [
        f"{'all':<22}{total / 1e6:10.3f}   {share:.1f} % of dense",
        f"energy of the arithmetic, estimated: {facts['energy_uj']:,.0f} uJ, dense "
        f"{facts['dense_energy_uj']:,.0f} uJ ({facts['mac_pj']:.1f} pJ a "
        f"multiply-accumulate, {facts['add_pj']:.1f} pJ an addition)",
        f"  {facts['source']}",
        "  Moving data is not in it, and dominates on most machines.",
        f"The layers where spikes arrive see {facts['spikes_per_input']:.3f} per input "
        "and step. They would lose",
        f"  {_loses(facts['break_even_frame_by_frame'])}, to a dense network that "
        "reads one event frame at a time;",
        f"  {_loses(facts['break_even_all_at_once'])}, to one of the same layers that "
        "reads all of them at once.",
    ]
    return "\n".join(lines)


def _steps(facts: dict[str, Any]) -> range:
    return range(1, facts["num_steps"] + 1)


def _loses(rate: float) -> str:
    if rate > 1:
        return f"never (above {rate:.2f}; a neuron fires once a step at most)"
    return f"above {rate:.2f}" if rate > 0 else "at any rate"
