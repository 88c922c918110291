"""ROS 1 and ROS 2 bags, as `rosbags` writes them."""

import itertools

import numpy as np
import pytest

from seen_jax import event_folder, recordings
from seen_jax.cameras import digest
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from seen_jax.events import Recording
from tests.samples import assert_same_recording, random_events

typesys = pytest.importorskip("rosbags.typesys")
from rosbags import rosbag1, rosbag2  # noqa: E402

WIDTH, HEIGHT = 20, 12
EVENT = "uint16 x\nuint16 y\ntime ts\nbool polarity"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events"
FIRST_US = 1_600_000_000_123_456


def typestore_of(version):
    name = "ROS1_NOETIC" if version == 1 else "ROS2_HUMBLE"
    store = typesys.get_typestore(getattr(typesys.Stores, name))
    event = EVENT if version == 1 else EVENT.replace("time", "builtin_interfaces/Time")
    for text, name in ((event, "Event"), (ARRAY, "EventArray")):
        store.register(typesys.get_types_from_msg(text, f"dvs_msgs/msg/{name}"))
    return store


class Bag:
    """Messages of one clock, written by the library."""

    def __init__(self, version, frame_id="davis"):
        self.version, self.frame_id = version, frame_id
        self.store, self.messages = typestore_of(version), []

    def _stamp(self, time_us):
        kind = self.store.types["builtin_interfaces/msg/Time"]
        return kind(time_us // 10**6, time_us % 10**6 * 1000 + 999)

    def _header(self, time_us):
        first = {"seq": 7} if self.version == 1 else {}
        kind = self.store.types["std_msgs/msg/Header"]
        return kind(**first, stamp=self._stamp(time_us), frame_id=self.frame_id)

    def events(self, events, topic="/dvs/events"):
        names = ("Event", "EventArray")
        event, array = (self.store.types[f"dvs_msgs/msg/{x}"] for x in names)
        rows = zip(*(getattr(events, k).tolist() for k in "txyp"), strict=True)
        listed = [event(x, y, self._stamp(t), p) for t, x, y, p in rows]
        time_us = int(events.t[-1]) if len(events) else FIRST_US
        message = array(self._header(time_us), HEIGHT, WIDTH, listed)
        self.messages.append((topic, message, time_us))

    def image(
        self, time_us, data, encoding="mono8", step=None, big=0, topic="/dvs/image_raw"
    ):
        kind = self.store.types["sensor_msgs/msg/Image"]
        step = step or data.nbytes // HEIGHT
        data = np.frombuffer(data.tobytes(), np.uint8)
        header = self._header(time_us)
        message = kind(header, HEIGHT, WIDTH, encoding, big, step, data)
        self.messages.append((topic, message, time_us))

    def write(self, folder, plugin=rosbag2.StoragePlugin.SQLITE3):
        if self.version == 1:
            path = folder / "a.bag"
            writer, serialize = rosbag1.Writer(path), self.store.serialize_ros1
        else:
            path = folder / "bag"
            writer = rosbag2.Writer(path, version=8, storage_plugin=plugin)
            serialize = self.store.serialize_cdr
        with writer:
            connections = {}
            for topic, message, time_us in self.messages:
                kind = message.__msgtype__
                if topic not in connections:
                    options = {"typestore": self.store}
                    connections[topic] = writer.add_connection(topic, kind, **options)
                data = serialize(message, kind)
                writer.write(connections[topic], time_us * 1000, data)
        return path


def example(version, **options):
    """Events in messages of many sizes, and an image every 40 ms."""
    bag = Bag(version, **options)
    events = random_events(900, 200_000, HEIGHT, WIDTH)
    events.t[:] += FIRST_US
    images = np.random.default_rng(0).integers(0, 256, (5, HEIGHT, WIDTH), np.uint8)
    bounds = [0, 0, 1, 3, 150, 151, 500, 900]
    for begin, end in itertools.pairwise(bounds):
        bag.events(events.take(slice(begin, end)))
    for i, image in enumerate(images):
        bag.image(FIRST_US + 40_000 * i, image)
    bag.messages.sort(key=lambda x: x[2])
    return bag, events, images


@pytest.mark.parametrize("frame_id", ["", "dvs", "davis346"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_bag_is_a_recording(version, frame_id, tmp_path):
    bag, events, images = example(version, frame_id=frame_id)
    recording = read_recording(bag.write(tmp_path))
    times_us = FIRST_US + 40_000 * np.arange(5)
    whole = Recording(events, times_us, images, (WIDTH, HEIGHT))
    assert_same_recording(recording, whole)
    assert recording.notes == ()


def test_mcap_and_a_file_alone(tmp_path):
    bag, events, _ = example(2)
    path = bag.write(tmp_path, rosbag2.StoragePlugin.MCAP)
    assert len(read_recording(path).events) == len(events)
    (alone,) = path.glob("*.mcap")
    assert len(read_recording(alone).events) == len(events)


def test_encodings_of_images(tmp_path):
    grey = np.random.default_rng(0).integers(1, 255, (HEIGHT, WIDTH), np.uint8)
    tall = (grey.astype(np.uint16) << 2) + 1
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[:, :, 0] = 255
    padded = np.pad(grey, ((0, 0), (0, 4)))
    with_alpha = np.pad(red, ((0, 0), (0, 0), (0, 1)))
    for i, (data, encoding, options, expected) in enumerate(
        (
            (padded, "mono8", {"step": WIDTH + 4}, grey),
            (tall, "mono16", {}, grey),
            (tall.astype(">u2"), "mono16", {"big": 1}, grey),
            (red, "rgb8", {}, np.full_like(grey, 76)),  # 0.299
            (red, "bgr8", {}, np.full_like(grey, 29)),  # 0.114
            (with_alpha, "rgba8", {}, np.full_like(grey, 76)),
        )
    ):
        bag, _, _ = example(1)
        bag.messages = [x for x in bag.messages if "image" not in x[0]]
        bag.image(FIRST_US, data, encoding, **options)
        (tmp_path / str(i)).mkdir()
        recording = read_recording(bag.write(tmp_path / str(i)))
        np.testing.assert_array_equal(recording.intensity_frames[0], expected)


def test_bags_that_are_refused(tmp_path):
    image = np.zeros((12, 20), np.uint8)
    changes = [
        (lambda bag: bag.messages.clear(), "one topic of dvs_msgs/msg/EventArray, got"),
        (
            lambda bag: bag.image(FIRST_US, image, topic="/depth"),
            "one topic of sensor_msgs/msg/Image, got /depth, /dvs/image_raw; copy ",
        ),
        (
            lambda bag: bag.image(FIRST_US, image.repeat(2, 1), "yuv422"),
            "encoding of images: expected one of mono8.* got yuv422",
        ),
        (
            lambda bag: bag.image(FIRST_US, image[:, :10]),
            "image: expected 12 rows of 20 bytes, got 120 bytes, 10 a row",
        ),
    ]
    for i, (change, text) in enumerate(changes):
        bag, _, _ = example(1)
        change(bag)
        (tmp_path / str(i)).mkdir()
        path = bag.write(tmp_path / str(i))
        with pytest.raises(UserError, match=text) as error:
            read_recording(path)
        assert str(path) in str(error.value)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"a\.bag: expected a recording that is not br"):
        read_recording(path)
    path.rename(tmp_path / "a.rosbag")
    with pytest.raises(UserError, match=r"ends in \.bag, got '\.rosbag'; rename it"):
        read_recording(tmp_path / "a.rosbag")


def test_a_message_of_events_that_is_cut():
    from seen_jax.cameras.rosbag import parse_events

    for version in (1, 2):
        bag, events, _ = example(version)
        bag.messages.clear()
        bag.events(events)
        kind = "ros1" if version == 1 else "cdr"
        serialize = getattr(bag.store, f"serialize_{kind}")
        (_, message, _) = bag.messages[0]
        data = bytes(serialize(message, message.__msgtype__))
        assert len(parse_events(data, version)[1][0]) == len(events)
        for cut in (3, 14, 30, 40, len(data) - 2):
            with pytest.raises(UserError, match="message of events: expected "):
                parse_events(data[:cut], version)


def test_a_folder_of_ros_2_in_a_table_of_clips(tmp_path):
    bag, _, _ = example(2)
    path = bag.write(tmp_path)
    table = "recording,start_s,end_s,label,volunteer\nbag,0,0.1,a,x\nbag,0.1,0.19,b,y\n"
    (tmp_path / "clips.csv").write_text(table)
    options = ["--crop=0,0,12", "--workers=1", f"--out={tmp_path / 'out'}"]
    recordings.main([f"--clips={tmp_path / 'clips.csv'}", *options])
    assert (tmp_path / "out" / "event" / "b" / "clip_00002" / "00001.jpg").is_file()
    before = digest.of(path)
    (path / "metadata.yaml").write_text((path / "metadata.yaml").read_text() + "\n")
    assert digest.of(path) != before
    options = ["--crop=0,0,12", f"--out={tmp_path / 'clip'}"]
    assert event_folder.main([str(path), *options]) == 0
