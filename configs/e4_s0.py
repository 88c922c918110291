"""E4_S0 as published: four event frames, none left out.

    python train.py --config=configs/e4_s0.py --workdir=runs/e4_s0

source, data and hardware as in default.py; 5.26 s per published epoch
published   WAR 78.6, UAR 79.1, as the paper's table has it
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 4
    config.skip = 0
    return config
