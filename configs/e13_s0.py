"""E13_S0 as published: thirteen event frames, none left out.

    python train.py --config=configs/e13_s0.py --workdir=runs/e13_s0

source, data and hardware as in default.py; 9.9 s per published epoch
published   WAR 82.3, UAR 82.5
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 13
    config.skip = 0
    return config
