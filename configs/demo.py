"""The demonstration: E4_S3 on 220 simulated clips, in minutes on two processor cores.

    bash launch/quickstart.sh

or, step by step:

    python -m seen_jax.simulator --out data/demo --volunteers 16 --clips 220
    bash launch/build_see.sh data/demo data/tfds --config by_volunteer
    python train.py --config=configs/demo.py --workdir=runs/demo

data        simulated: 16 volunteers, about 150 clips for training; the test split
            shows people who are not in training
recipe      the published one, but for batches of 16 and a faster fall of the rate,
            since an epoch is ten steps and there are few
published   nothing: these numbers say that the program works, not how well it reads
            people
seen        simulated: WAR 72.9 %, UAR 71.4 % at the last epoch, mean of 3 passes, one
            seed; training 2.5 minutes, the whole quickstart with its installation 4.5,
            on two cores of an AMD EPYC, JAX 0.10.2
"""

from configs import default


def get_config():
    config = default.get_config()
    config.dataset = "by_volunteer"
    config.batch_size = 16
    config.num_epochs = 30
    config.learning_rate_decay = 0.92
    config.eval_every = 5
    config.eval_passes = 3
    return config
