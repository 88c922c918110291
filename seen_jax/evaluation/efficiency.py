"""Activity -> operations and an estimate of energy, against dense networks.

Note: the estimate covers arithmetic, not memory traffic, which costs more on most
machines, so it compares networks and does not predict battery life.

Reference: M. Horowitz, "1.1 Computing's energy problem (and what we can do about it)",
ISSCC 2014 Digest of Technical Papers, pp. 10-14, doi:10.1109/ISSCC.2014.6757323. Its
figure 1.1.9, "Rough energy costs for various operations in 45nm 0.9V", gives no
multiply-accumulate: here it is the sum of both. A cache access costs 10 to 100 pJ, one
of DRAM 1.3 to 2.6 nJ.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from seen_jax.errors import counted
from seen_jax.evaluation.activity import (
    MOST,
    NEURONS,
    NEURONS_IN_WORDS,
    SYNAPSES,
    Activity,
)

MULTIPLY_PJ, ADD_PJ = 3.7, 0.9  # 32-bit floating point
MAC_PJ = MULTIPLY_PJ + ADD_PJ
SOURCE = (
    'M. Horowitz, "Computing\'s energy problem", ISSCC 2014, figure 1.1.9, rough costs '
    f"in 45 nm, 0.9 V: float32 multiplication {MULTIPLY_PJ} pJ, addition {ADD_PJ} pJ"
)
LEFT_OUT = (
    "A neuron's update counts as one multiply-accumulate; its comparison and reset are "
    "left out, and so are bias, softmax, normalisation and the moving of data, which "
    "dominates on most machines."
)
COUNTS = {  # title: of `estimate`, by layer
    "spikes": "operations",
    "at most": "layer_synapses",
    "dense": "layer_macs",
}
WAYS = {
    "frame_by_frame": "one event frame at a time",
    "all_at_once": "all event frames at once",
}
WIDTH = 79  # of lines of text


def estimate(activity: Activity, num_parameters: int, macs: int) -> dict[str, Any]:
    """Takes the means over the clips.

    Args:
      activity: of the observed clips.
      num_parameters: of the network.
      macs: multiply-accumulates of all layers of a window on dense inputs, padding
        included.

    Returns:
      num_parameters, macs: as given; num_clips: observed; num_steps: T.
      rates: (T, 5), share of LIF1 to LIF5 that fires; spatial_rate: of J_s.
      layer_macs: those of the layers that receive spikes, by layer; spiking_macs: all.
      layer_synapses: the same without padding: one for each spike that an input could
        send to an output.
      operations: accumulates that spikes caused there, by layer.
      neuron_updates: each a multiplication and an addition, of LIF1 to LIF5 and J_s.
      energy_uj: dense layers and neurons multiply, layers that receive spikes only add;
        image_energy_uj: of the layers on images, S up to J_s and T's first stage;
        dense_energy_uj: of the same layers on dense inputs, without neurons.
      spikes_per_input: mean over the inputs of the layers that receive spikes, each
        weighted by the outputs that it reaches, and over time. Padding is no input, and
        `operations` have none either. most_spikes_per_input: the same if all neurons
        fired at every step; fc1 sees 2, of LIF3 and J_s.
      break_even_<way>: spikes per input at which the spiking layers cost as much as
        dense ones, which read as in `WAYS`; out of reach above most_spikes_per_input.
      mac_pj, add_pj, source: the constants.
    """
    num_clips, num_steps = activity.rates.shape[:2]
    sizes = activity.num_neurons.tolist()
    operations = activity.operations.astype(np.float64).sum(axis=1).mean(axis=0)
    layer_macs, layer_synapses = (
        num_steps * x.astype(np.int64)
        for x in (activity.step_macs, activity.step_synapses)
    )
    spiking_macs, num_synapses = int(layer_macs.sum()), int(layer_synapses.sum())
    assert spiking_macs <= macs, f"{spiking_macs} in {macs}: not of the same network"
    added = sum(operations.tolist())
    neuron_updates = sum(sizes) * num_steps + sizes[2]  # J_s is as large as LIF3
    spiking_energy_pj = neuron_updates * MAC_PJ + added * ADD_PJ
    image_energy_uj = 1e-6 * (macs - spiking_macs) * MAC_PJ

    def by_layer(values):
        return dict(zip(SYNAPSES, values.tolist(), strict=True))

    def break_even(dense_passes):  # in a window
        dense = spiking_macs * dense_passes / num_steps
        return (dense - neuron_updates) * MAC_PJ / ADD_PJ / num_synapses

    return {
        "num_parameters": num_parameters,
        "num_clips": num_clips,
        "macs": macs,
        "layer_macs": by_layer(layer_macs),
        "layer_synapses": by_layer(layer_synapses),
        "operations": by_layer(operations),
        "neuron_updates": neuron_updates,
        "spatial_rate": float(activity.spatial_rate.mean()),
        "rates": activity.rates.mean(axis=0).tolist(),
        "num_steps": num_steps,
        "spiking_macs": spiking_macs,
        "energy_uj": image_energy_uj + 1e-6 * spiking_energy_pj,
        "image_energy_uj": image_energy_uj,
        "dense_energy_uj": 1e-6 * macs * MAC_PJ,
        "spikes_per_input": added / num_synapses,
        "most_spikes_per_input": float((layer_synapses * MOST).sum() / num_synapses),
        "break_even_frame_by_frame": break_even(num_steps),
        "break_even_all_at_once": break_even(1),
        "mac_pj": MAC_PJ,
        "add_pj": ADD_PJ,
        "source": SOURCE,
    }


def is_form(facts: Any) -> bool:
    """Whether `to_text` can format the facts, as it can what `estimate` returned."""
    try:
        return bool(to_text(facts))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def to_text(facts: dict[str, Any]) -> str:
    """Formats what `estimate` returned."""
    dense = facts["macs"] - facts["spiking_macs"]
    steps = range(1, facts["num_steps"] + 1)
    lines = [
        *textwrap.wrap(
            "Efficiency of one window, mean over "
            f"{counted(facts['num_clips'], 'clip', ',')} of the first pass (of a "
            "larger split, as many drawn by the seed)",
            WIDTH,
        ),
        *textwrap.wrap(
            f"{facts['num_parameters']:,} parameters. On dense inputs the network "
            f"takes {facts['macs'] / 1e6:,.1f} M multiply-accumulates: "
            f"{dense / 1e6:,.1f} M in the layers on images (the spatial branch up to "
            "J_s, the first stage of the temporal branch), "
            f"{facts['spiking_macs'] / 1e6:,.1f} M in the layers that receive spikes. "
            f"{NEURONS_IN_WORDS}",
            WIDTH,
        ),
        "",
        "spikes per neuron   " + "".join(f"{f't={t}':>7}" for t in steps),
        f"{NEURONS[0]:<20}{facts['spatial_rate']:7.4f}",
    ]
    for name, row in zip(NEURONS[1:], np.transpose(facts["rates"]), strict=True):
        lines.append(f"{name:<20}" + "".join(f"{x:7.4f}" for x in row))
    head = "".join(f"{word:>10}" for word in COUNTS)
    lines += ["", f"{'synaptic operations, M':<24}{head}"]
    for source, *row in counts(facts):
        lines.append(f"{source:<24}" + "".join(f"{x:10.3f}" for x in row))
    energy, method, *others = sentences(facts)
    lines += ["", *textwrap.wrap(f"{energy} {method}", WIDTH), ""]
    return "\n".join([*lines, *textwrap.wrap(" ".join(others), WIDTH)])


def counts(facts: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """Returns a row of each layer, and of all, in millions of operations.

    The numbers are those of `COUNTS`; what they count arrives at the row's layer.
    """
    table = np.array([[*facts[name].values()] for name in COUNTS.values()]) / 1e6
    table[1] *= MOST
    table = np.column_stack([table, table.sum(axis=1)]).T.tolist()
    sources = [f"{name} from {source}" for name, source in SYNAPSES.items()]
    return [*zip([*sources, "all"], *zip(*table, strict=True), strict=True)]


def sentences(facts: dict[str, Any]) -> list[str]:
    """Says what `estimate` returned.

    Returns:
      Energy; how it is estimated; spikes; and what dense layers take.
    """
    share = 100 * facts["image_energy_uj"] / facts["energy_uj"]
    return [
        f"Energy of the arithmetic, estimated: {facts['energy_uj']:,.0f} µJ, of "
        f"which {share:.0f} % in the layers on images; dense "
        f"{facts['dense_energy_uj']:,.0f} µJ.",
        f"Constants: {facts['source']}; a multiply-accumulate is both, "
        f"{facts['mac_pj']:.1f} pJ. "
        f"{LEFT_OUT}",
        "An input of the layers that receive spikes carries "
        f"{facts['spikes_per_input']:.4f} spikes per time step on average. If all "
        f"neurons fired, it would carry {facts['most_spikes_per_input']:.2f}, more "
        "than 1 since fc1 sees those of LIF3 and of J_s. Padding is no input.",
        _compared(facts),
    ]


def _compared(facts: dict[str, Any]) -> str:
    """Says what dense layers would take, and at which rate spikes save energy."""
    spiking = facts["energy_uj"] - facts["image_energy_uj"]
    taken, verdicts = [], []
    for way, words in WAYS.items():
        share = 1 if way == "frame_by_frame" else 1 / facts["num_steps"]
        energy_uj = 1e-6 * facts["spiking_macs"] * share * facts["mac_pj"]
        taken.append(f"{energy_uj:,.1f} µJ if they read {words}")
        verdicts.append(f": spikes {_verdict(facts, way)}")
    if verdicts[0] == verdicts[1]:  # said once
        verdicts[0] = " and "
    else:
        verdicts[0] += "; "
    dense = "".join(x for pair in zip(taken, verdicts, strict=True) for x in pair)
    text = f"These layers and their neurons take {spiking:,.1f} µJ; dense ones would"
    return f"{text} take {dense}."


def _verdict(facts: dict[str, Any], way: str) -> str:
    rate, most = facts[f"break_even_{way}"], facts["most_spikes_per_input"]
    if rate > most:
        return "would save energy even if every neuron fired at every step"
    if rate > 0:
        return f"save energy as long as an input carries less than {rate:.2f}"
    return "never save energy, since updating the neurons alone costs more"
