"""Every test runs on the CPU with two devices and strict types."""

import atexit
import os
import shutil
import signal
import tempfile
import threading

os.environ["JAX_PLATFORMS"] = "cpu"
# With few of LLVM's passes, which takes half of the time to compile.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=1 "
    + os.environ.get("XLA_FLAGS", "")
)
# What one test compiles another one takes, in whichever process of this run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
# What a shell starts in the background ignores Ctrl-C, and hands that on.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = [  # files, from the longest; one that began last would run alone in the end
    "environments", "command", "train", "hosts", "network", "native", "spikes",
    "demonstration", "seen", "eval", "step", "writer",
]  # fmt: skip


def pytest_collection_modifyitems(config, items):
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n` a file's tests stay in one process, which makes its fixtures once.

    All of tests/live do: two cameras at a time would leave two cores nothing to predict
    with.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "tests/live" if file.startswith("tests/live/") else file

    if config.option.dist != "load":  # another way was asked for
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """Keeps what a file's tests compile for those that compile it again."""
    before = jax.config.jax_compilation_cache_dir
    folder = tmp_path_factory.mktemp("compilation_cache")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture(scope="module")
def module_folder(request, tmp_path_factory):
    """A folder of a file's tests, removed behind them unless one fails."""
    num_failed = request.session.testsfailed
    folder = tmp_path_factory.mktemp(request.module.__name__.rpartition(".test_")[2])
    yield folder
    if request.session.testsfailed == num_failed:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared():
    """The folder of material that does not travel with the repository."""
    from pathlib import Path

    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder shared/ is not beside the repository")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; a test that asks for it is skipped without one."""
    import shutil

    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # As root there is no sandbox, and in a container little shared memory.
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()
