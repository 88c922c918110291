"""SEEN once more, in plain numpy and float64, for tests to compare with.

Written from the description of the network alone: a convolution is a loop over the
places of its kernel, a neuron a loop over time. Images are (..., H, W, C).
"""

import numpy as np

SCALES = ("conv1_f2", "conv1_f3", "conv1_f4")


def convolve(images, kernel, stride):
    """Pads by half the kernel and adds up its places, one after the other."""
    rows, columns = kernel.shape[:2]
    up, left = rows // 2, columns // 2
    still = [(0, 0)] * (images.ndim - 3)
    padded = np.pad(images, [*still, (up, up), (left, left), (0, 0)])
    height = (images.shape[-3] + 2 * up - rows) // stride + 1
    width = (images.shape[-2] + 2 * left - columns) // stride + 1
    total = 0
    for row, column in np.ndindex(rows, columns):
        down = slice(row, row + stride * (height - 1) + 1, stride)
        across = slice(column, column + stride * (width - 1) + 1, stride)
        total += padded[..., down, across, :] @ kernel[row, column]
    return total


def neurons(currents):
    """Returns membranes and spikes for currents (B, T, ...), from rest."""
    membrane, spike = np.zeros((2, *currents[:, 0].shape))
    membranes, spikes = [], []
    for t in range(currents.shape[1]):
        membrane = 0.2 * membrane * (1 - spike) + currents[:, t]
        spike = np.where(membrane > 0.3, 1.0, 0.0)
        membranes.append(membrane)
        spikes.append(spike)
    return np.stack(membranes, axis=1), np.stack(spikes, axis=1)


def attend(params, stats, names, features, train):
    """Returns the softmax of the scores (..., 3), and the new running statistics."""
    scores, updates = [], {}
    for name, images in zip(names, features, strict=True):
        mlp, running = params[name], stats[name]["norm"]
        x = images.mean(axis=(-3, -2)) @ mlp["reduce"]["kernel"]
        x = x + mlp["reduce"]["bias"]
        mean, var = running["mean"], running["var"]
        if train:
            rows = x.reshape(-1, 8)
            mean, var = rows.mean(axis=0), rows.var(axis=0)
            updates[name] = {
                "mean": 0.9 * running["mean"] + 0.1 * mean,
                "var": 0.9 * running["var"] + 0.1 * rows.var(axis=0, ddof=1),
                "num_batches": running["num_batches"] + 1,
            }
        x = (x - mean) / np.sqrt(var + 1e-5) * mlp["norm"]["scale"]
        x = np.maximum(x + mlp["norm"]["bias"], 0) @ mlp["score"]["kernel"]
        scores.append(x + mlp["score"]["bias"])
    powers = np.exp(np.concatenate(scores, axis=-1))
    return powers / powers.sum(axis=-1, keepdims=True), updates


def seen(
    variables,
    event_frames,
    intensity_frames,
    train=False,
    kernels="copied",
    attention="copied",
    readout="mean_membrane",
):
    """Returns logits, the spike rates of all steps, and the new running statistics."""
    params, stats = variables["params"], variables["batch_stats"]

    def biased(name, images, stride):
        return convolve(images, params[name]["kernel"], stride) + params[name]["bias"]

    def unbiased(name, images, stride):
        copy = f"{name}_t" if kernels == "own" else name
        return convolve(images, params[copy]["kernel"], stride)

    def cat(conv, features, weights):
        weights = weights[..., None, None, None]
        weighed = [weights[..., i, :, :, :] * x for i, x in enumerate(features)]
        return conv("conv1_cat", np.concatenate(weighed, axis=-1), 1)

    # S: every intensity image thrice, as RGB.
    rgb = np.stack([x for x in np.moveaxis(intensity_frames, 1, 0) for _ in "rgb"], -1)
    mixed = biased("conv0", rgb, 1)
    features = [biased(name, mixed, 2) for name in SCALES]
    names = ["mlp_f1", "mlp_f2", "mlp_f3"]
    weights, updates = attend(params, stats, names, features, train)
    x = biased("conv2_f2", cat(biased, features, weights), 2)
    j_s = neurons(biased("conv3_f2", x, 4)[:, None])[1]

    # T: the same weights for every frame, or a frame's own.
    rgb = np.stack([event_frames] * 3, axis=-1)
    features = [unbiased(name, rgb, 2) for name in SCALES]
    weights = np.stack([weights] * event_frames.shape[1], axis=1)
    if attention == "own":
        names = [f"{name}_t" for name in names]
        weights, more = attend(params, stats, names, features, train)
        updates = {**updates, **more}
    lif1 = neurons(cat(unbiased, features, weights))[1]
    lif2 = neurons(unbiased("conv2_f2", lif1, 2))[1]
    lif3 = neurons(unbiased("conv3_f2", lif2, 4))[1]
    flat = (lif3 + j_s).reshape(*lif3.shape[:2], -1)
    lif4 = neurons(flat @ params["fc1"]["kernel"] + params["fc1"]["bias"])[1]
    membranes, lif5 = neurons(lif4 @ params["fc2"]["kernel"] + params["fc2"]["bias"])

    logits = {
        "mean_membrane": sum(membranes.swapaxes(0, 1)) / membranes.shape[1],
        "last_membrane": membranes[:, -1],
        "last_spike": lif5[:, -1],
        "mean_spike": sum(lif5.swapaxes(0, 1)) / lif5.shape[1],
    }[readout]
    rates = [j_s.mean()]
    for t in range(event_frames.shape[1]):
        rates += [layer[:, t].mean() for layer in (lif1, lif2, lif3, lif4, lif5)]
    return logits, np.array(rates), updates
