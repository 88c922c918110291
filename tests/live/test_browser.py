"""The page in a real browser: what fits, what keys and pointer do, coming back."""

import csv
import json
import signal

import pytest

from seen_jax.cameras.recorder import CLIPS
from tests.browser import overflow, show_at
from tests.cameras.server_process import free_ports
from tests.live.programs import camera, live, wait_for

pytestmark = pytest.mark.environments

RECORDED = 346, 260


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder, port and source of a program with a camera of 346 x 260 pixels."""
    folder = tmp_path_factory.mktemp("live")
    with camera(folder / "camera.log") as source:
        yield folder, int(free_ports()[0]), source


@pytest.fixture(scope="module")
def program(place, bundle):
    """The program, which a test may end and start again."""
    folder, port, source = place

    class Program:
        number = 0

        def start(self):
            self.number += 1
            log, record = folder / f"{self.number}.log", f"--record={folder / 'in'}"
            self.context = live(source, bundle, port, log, record)
            self.process = self.context.__enter__()

        def end(self):
            self.context.__exit__(None, None, None)

    program = Program()
    program.start()
    yield program
    program.end()


@pytest.fixture
def page(browser, program, place):
    """The page, with predictions."""
    show_at(browser, 1280, 800)
    browser.get(f"http://127.0.0.1:{place[1]}/")
    wait_for(lambda: predicts(browser), lambda: browser.page_source)
    return browser


def head_of(page):
    return json.loads(page.execute_script("return JSON.stringify(head)"))


def predicts(page):
    return head_of(page).get("probabilities")


def text_of(page, place):
    return page.execute_script(f"return document.getElementById('{place}').textContent")


def rows_in(folder):
    if not (folder / "in" / CLIPS).exists():
        return []
    with open(folder / "in" / CLIPS, newline="") as file:
        return [*csv.DictReader(file)]


def wait_for_moments(page, count):
    number = head_of(page)["number"]
    wait_for(lambda: head_of(page)["number"] >= number + count, "no moments")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_without_a_scroll_and_says_nothing_in_the_console(page, scheme):
    show_at(page, 1280, 800, scheme)
    wait_for_moments(page, 30)
    assert overflow(page) == [0, 0]
    assert page.get_log("browser") == []


def test_it_fits_with_all_that_can_be_wrong(page):
    page.execute_script("for (let i = 0; i < 6; i++) send({ crop: [i, 0, 9999] })")
    wait_for(lambda: len(head_of(page)["status"]["notes"]) == 4, "no notes")
    page.execute_script("lost = Date.now(); why = 'a reason'; alarm()")
    assert "no connection to the program" in text_of(page, "alarm")
    assert overflow(page) == [0, 0]
    page.execute_script("lost = 0")


def test_it_is_no_wider_than_a_phone(page):
    show_at(page, 400, 800)
    wait_for_moments(page, 10)
    assert overflow(page)[0] == 0


def test_it_shows_what_the_camera_sees(page):
    assert head_of(page)["sensor_size"] == [*RECORDED]
    wait_for_moments(page, 30)
    size = "const x = document.getElementById('%s'); return [x.width, x.height]"
    assert page.execute_script(size % "sensor") == [*RECORDED]
    assert page.execute_script(size % "events") == [180, 180]
    shares = page.execute_script(
        "return [...document.querySelectorAll('.track')].map("
        "(x) => +x.getAttribute('aria-valuenow'))"
    )
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert text_of(page, "word") in page.execute_script("return about.classes")
    assert "operations a window" in text_of(page, "spikes")
    filled = page.execute_script(
        "const x = document.getElementById('frames');"
        "const y = x.getContext('2d').getImageData(0, 0, x.width, x.height).data;"
        "return new Set(y).size"
    )
    assert filled > 2  # noise of events


def test_a_key_that_is_held_labels(page, place):
    from selenium.webdriver.common.action_chains import ActionChains

    before = len(rows_in(place[0]))
    name = page.execute_script("return about.labels[1]")
    keys = ActionChains(page).key_down("2").pause(0.6)
    keys.perform()
    wait_for(lambda: head_of(page)["status"]["held"] == name, "no label is held")
    # Another key in between changes nothing.
    ActionChains(page).key_down("3").key_up("3").perform()
    assert head_of(page)["status"]["held"] == name
    ActionChains(page).key_up("2").perform()
    wait_for(lambda: head_of(page)["status"]["held"] == "", "the label is held")
    wait_for(lambda: len(rows_in(place[0])) == before + 1, "no row")
    row = rows_in(place[0])[-1]
    assert (row["label"], row["volunteer"], row["crop"]) == (name, "1", "83,40,180")
    assert 0.5 < float(row["end_s"]) - float(row["start_s"]) < 30
    wait_for(lambda: f"2 {name} 1" in text_of(page, "keys"), text_of(page, "keys"))


def test_the_crop_is_dragged_and_predictions_come_back(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    crop = page.find_element(By.ID, "crop")
    before = head_of(page)["crop"]
    assert before == [83, 40, 180]
    shown = page.execute_script("return document.getElementById('sensor').clientWidth")
    scale = RECORDED[0] / shown
    ActionChains(page).drag_and_drop_by_offset(crop, -40, 20).perform()
    wanted = [round(83 - 40 * scale), round(40 + 20 * scale), 180]
    wait_for(lambda: head_of(page)["crop"] == wanted, f"expected {wanted}")
    wait_for(lambda: predicts(page), "no predictions")
    # To the edge and no further; the arrow keys, too.
    ActionChains(page).drag_and_drop_by_offset(crop, 250, 0).perform()
    wait_for(lambda: head_of(page)["crop"][0] == RECORDED[0] - 180, "not at the edge")
    crop.send_keys("\ue012")  # the left arrow
    wait_for(lambda: head_of(page)["crop"][0] == RECORDED[0] - 181, "the key")
    wait_for(lambda: predicts(page), "no predictions")
    assert page.get_log("browser") == []


def test_what_is_old_is_not_shown_as_an_answer(page, program):
    """The connection stays open and nothing comes: as a phone without its network."""
    program.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: "nothing from the program" in text_of(page, "alarm"), "no alarm")
    assert page.execute_script("return document.body.classList.contains('old')")
    program.process.send_signal(signal.SIGCONT)
    wait_for(lambda: page.execute_script("return $('alarm').hidden"), "alarm")
    assert not page.execute_script("return document.body.classList.contains('old')")
    wait_for_moments(page, 10)


def test_it_comes_back_by_itself(page, program):
    session = page.execute_script("return session")
    program.process.kill()
    program.process.wait()
    wait_for(lambda: "no connection to the program" in text_of(page, "alarm"), "alarm")
    program.end()
    program.start()
    wait_for(lambda: page.execute_script("return session") != session, "no connection")
    wait_for(lambda: predicts(page), "no predictions")
    wait_for(lambda: page.execute_script("return $('alarm').hidden"), "alarm")
    wait_for_moments(page, 10)
