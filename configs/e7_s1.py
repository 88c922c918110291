"""E7_S1 as published: seven event frames, one left out between two.

    python train.py --config=configs/e7_s1.py --workdir=runs/e7_s1

source, data and hardware as in default.py; 6.6 to 7.3 s per published epoch
published   WAR 82.4, UAR 82.7
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 7
    config.skip = 1
    return config
