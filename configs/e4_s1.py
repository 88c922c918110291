"""E4_S1 as published: four event frames, one left out between two.

    python train.py --config=configs/e4_s1.py --workdir=runs/e4_s1

source, data and hardware as in default.py; 5.26 s per published epoch
published   WAR 80.9, UAR 81.3, as the paper's table has it
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 4
    config.skip = 1
    return config
