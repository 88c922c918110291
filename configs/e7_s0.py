"""E7_S0 as published: seven event frames, none left out.

    python train.py --config=configs/e7_s0.py --workdir=runs/e7_s0

source, data and hardware as in default.py; 6.6 to 7.3 s per published epoch
published   WAR 79.6, UAR 80.1, as the paper's table has it
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 7
    config.skip = 0
    return config
