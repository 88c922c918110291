"""A page in a real browser: its size, its colours, and what does not fit."""


def show_at(browser, width, height, scheme="light"):
    """Sets the page's size and colours."""
    fields = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", fields)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def overflow(page):
    """How many pixels of the page are beside the window, across and down."""
    return page.execute_script(
        "const x = document.documentElement; return [x.scrollWidth - x.clientWidth, "
        "x.scrollHeight - x.clientHeight]"
    )
