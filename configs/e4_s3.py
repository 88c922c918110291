"""E4_S3 as published: four event frames, three left out between two.

    python train.py --config=configs/e4_s3.py --workdir=runs/e4_s3

source, data and hardware as in default.py; 5.26 s per published epoch
published   WAR 83.6, UAR 84.1
"""

from configs import default


def get_config():
    config = default.get_config()
    config.num_event_frames = 4
    config.skip = 3
    return config
